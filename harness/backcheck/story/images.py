"""Image files of a case: made, filled and judged with the implementation's tools and by independent reading.

An image can only be filled or judged while no machine uses it: before the first guest request or command, after
`t.shutdown()`, or, for the target of drive-backup, as soon as its job is done.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, objects
from backcheck.programs.processes import Finished
from backcheck.sizes import KiB
from backcheck.story.contents import Content, HasContent, content_of, first_difference, noise, whole_sectors
from backcheck.story.image_reader import Qcow2Reader, StoredCluster, read_image
from backcheck.story.session import Session
from backcheck.transcript import State

NOISE_FILE = "noise.bin"
COMPARE_IDENTICAL = 0
COMPARE_DIFFERENT = 1
CHECK_CLEAN = 0
CHECK_LEAKS = 3
CHECK_NOT_SUPPORTED = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A run of guest bytes as `img map` tells it; `depth` 0 is the image itself, 1 its backing file.

    present: whether some image of the chain has it, None before QEMU 6.1; it is not compared.
    """

    start: int
    length: int
    depth: int
    zero: bool
    data: bool
    present: bool | None = field(default=None, compare=False)


class Image:
    """An image file in the case's folder. `name` is also its file name, as programs get it."""

    def __init__(self, session: Session, name: str, format_name: str, content: Content) -> None:
        self.name = name
        self.format = format_name
        self._content = content
        self._session = session

    @property
    def content(self) -> Content:
        """What it should hold, by the writes that the case made. Keep it: it is the point in time."""
        return self._content

    def note_write(self, pattern: int | bytes, offset: int, length: int) -> None:
        """The model of a write that somebody made."""
        self._content = self._content.written(pattern, offset, length)

    def note_resize(self, size: int) -> None:
        """The model of a new size, in whole sectors, as a guest sees it."""
        self._content = self._content.resized(whole_sectors(size))

    @property
    def size(self) -> int:
        """The virtual size by the model."""
        return self.content.size

    @property
    def path(self) -> Path:
        return self._session.folder / self.name

    def create(self, size: int, *, backing: "Image | None" = None, options: Mapping[str, str] | None = None) -> None:
        """Creates the file with the image tool. size: virtual; options: as after `-o`, `{"cluster_size": "2M"}`."""
        arguments = ["create", "-q", "-f", self.format]
        if options:
            arguments += ["-o", ",".join(f"{key}={value}" for key, value in options.items())]
        if backing is not None:
            arguments += ["-b", backing.name, "-F", backing.format]
        self._img(*arguments, self.name, str(size))

    def write(self, pattern: int, *, offset: int = 0, length: int | None = None) -> None:
        """Fills a range (to the end, without length) with a byte, with the I/O tool."""
        length = self.size - offset if length is None else length
        self._io(f"write -P {pattern} {offset} {length}")
        self.note_write(pattern, offset, length)

    def write_noise(self, *, offset: int = 0, length: int, period: int = 64 * KiB) -> None:
        """Fills a range with bytes that do not compress, but that they come again after `period` bytes."""
        pattern = noise(period)
        (self._session.folder / NOISE_FILE).write_bytes(pattern)
        self._io(f"write -s {NOISE_FILE} {offset} {length}")
        self.note_write(pattern, offset, length)

    def write_zeroes(self, *, offset: int, length: int, unmap: bool = False) -> None:
        """Makes a range read as zeroes without writing data, with the I/O tool."""
        self._io(f"write -z {'-u ' if unmap else ''}{offset} {length}")
        self.note_write(0, offset, length)

    def discard(self, *, offset: int, length: int) -> None:
        """Discards a range, with the I/O tool. What it reads as afterwards is the format's affair, not the model's."""
        self._io(f"discard {offset} {length}")

    def expect_identical(self, expected: Content | HasContent) -> None:
        """Expects these bytes, by `img compare` and by an independent reading of the file.

        expected: a content kept at a point in time (`before = disk.content`), or a drive or image, by what it holds
        now.
        """
        content = content_of(expected)
        self.expect_content(content)
        reference = self._session.folder / f"{self.name}.expected"
        _write_sparse(reference, content)
        compared = self._tool("compare", "-f", self.format, "-F", "raw", self.name, reference.name)
        if compared.status != COMPARE_IDENTICAL:
            self._session.fail(
                f"img compare {self.name}",
                expected="identical images",
                got=(compared.stdout or compared.stderr).strip(),
            )
        reference.unlink()

    def expect_content(self, content: Content) -> None:
        """Expects these bytes by an independent reading alone, as of an image that `img compare` cannot lock."""
        with read_image(self.path, self.format) as reader:
            if reader.size != content.size:
                self._session.fail(f"size of {self.name}", expected=str(content.size), got=str(reader.size))
            for offset, piece in content.pieces():
                got = reader.read(offset, len(piece))
                index = first_difference(piece, got)
                if index is not None:
                    self._session.fail(
                        f"{self.name} at offset {offset + index}",
                        expected=f"byte {piece[index]:#04x}",
                        got=f"byte {got[index]:#04x}",
                    )

    def expect_clean(self, *, leaks: bool = False) -> None:
        """Expects `img check` to find neither errors nor leaks; a format without check passes.

        leaks: leaked clusters are allowed, as a kill or a failed write leaves them.
        """
        checked = self._tool("check", "-f", self.format, self.name)
        if checked.status not in (CHECK_CLEAN, CHECK_NOT_SUPPORTED, *([CHECK_LEAKS] if leaks else [])):
            self._session.fail(
                f"img check {self.name}", expected="no errors", got=(checked.stdout + checked.stderr).strip()
            )

    def check(self) -> JsonObject:
        """What `img check --output=json` tells: allocated-clusters, compressed-clusters, image-end-offset, …"""
        checked: JsonObject = json.loads(self._tool("check", "-f", self.format, "--output=json", self.name).stdout)
        return checked

    def stored(self) -> list[StoredCluster]:
        """Where a qcow2 image has guest data, by independent reading."""
        self._require_unused()
        with read_image(self.path, self.format) as reader:
            if not isinstance(reader, Qcow2Reader):
                raise UsageError(f"{self.name} is {self.format}: what it stores can be told of qcow2 only")
            return list(reader.stored())

    def map(self) -> list[Extent]:
        """What `img map` tells, neighbours that are alike joined; only keys that every release prints."""
        return extents_of(self._img("map", "-f", self.format, "--output=json", self.name).stdout)

    def record_map(self) -> list[Extent]:
        """Puts the map into the golden, an extent a line, and returns it."""
        extents = self.map()
        record_extents(self._session, self.name, extents)
        return extents

    def expect_map(self, expected: Sequence[Extent]) -> None:
        """Expects exactly these extents."""
        got = self.map()
        if got != list(expected):
            self._session.fail(f"map of {self.name}", expected=_render(expected), got=_render(got))

    def info(self) -> JsonObject:
        """What `img info --output=json` tells."""
        info: JsonObject = json.loads(self._img("info", "-f", self.format, "--output=json", self.name).stdout)
        return info

    def add_bitmap(self, name: str, *, granularity: int | None = None, enabled: bool = True) -> None:
        """Puts a persistent bitmap into a qcow2 image that no machine uses, with `img bitmap --add`."""
        how = [] if enabled else ["--disable"]
        self.img_bitmap("--add", *how, *(["-g", str(granularity)] if granularity is not None else []), name)

    def img_bitmap(self, *arguments: str) -> Finished:
        """`img bitmap OPTIONS FILE BITMAP`, which must succeed: `image.img_bitmap("--clear", "b0")`."""
        *options, name = arguments
        return self._img("bitmap", "-f", self.format, *options, self.name, name)

    def bitmaps(self) -> Sequence[JsonObject]:
        """The persistent bitmaps that `img info` lists: name, granularity, flags (`auto`, `in-use`)."""
        specific = self.info().get("format-specific", {})
        data = specific.get("data", {}) if isinstance(specific, Mapping) else {}
        return objects(data.get("bitmaps", [])) if isinstance(data, Mapping) else []

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.path.exists()

    def _io(self, command: str) -> None:
        self._require_unused()
        done = self._session.implementation.io("-f", self.format, "-c", command, self.name, cwd=self._session.folder)
        if done.status != 0 or "failed" in done.stdout:
            raise UsageError(f"{command} on {self.name}: {(done.stdout + done.stderr).strip()}")

    def _img(self, *arguments: str) -> Finished:
        done = self._tool(*arguments)
        if done.status != 0:
            raise UsageError(f"img {' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def _tool(self, *arguments: str) -> Finished:
        self._require_unused()
        return self._session.implementation.img(*arguments, cwd=self._session.folder)

    def _require_unused(self) -> None:
        if self.name in self._session.attached and self._session.running:
            raise UsageError(
                f"{self.name} is in use by the machine: fill it before the first guest request, command or backup, "
                "and judge it after t.shutdown()"
            )


def extents_of(printed: str) -> list[Extent]:
    """What `img map --output=json` printed, neighbours that are alike joined; only keys that every release prints."""
    extents: list[Extent] = []
    for item in json.loads(printed):
        extent = Extent(
            start=item["start"],
            length=item["length"],
            depth=item["depth"],
            zero=item["zero"],
            data=item["data"],
            present=item.get("present"),
        )
        if extents and _alike(extents[-1], extent):
            last = extents.pop()
            extent = replace(last, length=last.length + extent.length)
        extents.append(extent)
    return extents


def record_extents(session: Session, name: str, extents: Sequence[Extent]) -> None:
    """Puts a map into the golden, an extent a line."""
    at = session.recorder.note(f"map of {name}")
    for extent in extents:
        values: JsonObject = {
            "start": extent.start,
            "length": extent.length,
            "depth": extent.depth,
            "zero": extent.zero,
            "data": extent.data,
        }
        session.recorder.add(State(subject=f"map {name}", values=values, at=at))


def _alike(left: Extent, right: Extent) -> bool:
    same = (left.depth, left.zero, left.data, left.present) == (right.depth, right.zero, right.data, right.present)
    return same and left.start + left.length == right.start


def _render(extents: Sequence[Extent]) -> str:
    kinds = {(True, False): "zero", (False, True): "data", (True, True): "zero data", (False, False): "nothing"}
    return ", ".join(
        f"{extent.start}+{extent.length} {kinds[extent.zero, extent.data]} depth={extent.depth}" for extent in extents
    )


def _write_sparse(path: Path, content: Content) -> None:
    with path.open("wb") as file:
        for offset, piece in content.pieces():
            if piece.count(0) != len(piece):
                file.seek(offset)
                file.write(piece)
        file.truncate(content.size)
