"""Images whose bitmaps are damaged: the tool says and does what the real one does about each."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.programs import Answer, Bundled, Real

BITMAPS_EXTENSION = 0x23852875
QUESTIONS = (
    ["info", "x"],
    ["check", "x"],
    ["check", "-r", "all", "x"],
    ["bitmap", "--add", "x", "new"],
    ["bitmap", "--remove", "x", "b0"],
    ["bitmap", "--merge", "b0", "x", "b1"],
    ["resize", "x", "2M"],
)
NEEDS_CHECK = ("bitmap", "resize")


class Damaged:
    """The bytes of an image with the bitmaps b0, which has set bits, and b1, and where its parts are."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        at = self.get(">I", 100)
        while self.get(">I", at) != BITMAPS_EXTENSION:
            at += 8 + (self.get(">I", at + 4) + 7 & ~7)
        self.extension = at + 8
        self.directory = self.get(">Q", at + 24)
        self.table = self.get(">Q", self.directory)
        self.bits = self.get(">Q", self.table)

    def get(self, form: str, at: int) -> int:
        """A number of the image."""
        (value,) = struct.unpack_from(form, self.data, at)
        assert isinstance(value, int)
        return value

    def put(self, form: str, at: int, value: int) -> None:
        """Write another number there."""
        struct.pack_into(form, self.data, at, value)


def header(form: str, at: int, value: int) -> Callable[[Damaged], None]:
    return lambda image: image.put(form, at, value)


def extension(form: str, at: int, value: int) -> Callable[[Damaged], None]:
    return lambda image: image.put(form, image.extension + at, value)


def directory(form: str, at: int, value: int) -> Callable[[Damaged], None]:
    return lambda image: image.put(form, image.directory + at, value)


def table(change: Callable[[Damaged], int]) -> Callable[[Damaged], None]:
    return lambda image: image.put(">Q", image.table, change(image))


def both(one: Callable[[Damaged], None], other: Callable[[Damaged], None]) -> Callable[[Damaged], None]:
    def damage(image: Damaged) -> None:
        one(image)
        other(image)

    return damage


IN_USE = directory(">I", 12, 3)
NO_AUTOCLEAR = header(">Q", 88, 0)
DAMAGES: dict[str, Callable[[Damaged], None]] = {
    "nothing": lambda image: None,
    "an extension that is too short": extension(">I", -4, 20),
    "no autoclear bit": NO_AUTOCLEAR,
    "no autoclear bit, version 2": both(NO_AUTOCLEAR, header(">I", 4, 2)),
    "no autoclear bit, a short extension": both(NO_AUTOCLEAR, extension(">I", -4, 20)),
    "no autoclear bit, no bitmaps": both(NO_AUTOCLEAR, extension(">I", 0, 0)),
    "a reserved field": extension(">I", 4, 1),
    "too many bitmaps": extension(">I", 0, 65536),
    "zero bitmaps": extension(">I", 0, 0),
    "more bitmaps than named": extension(">I", 0, 1),
    "less bitmaps than named": extension(">I", 0, 3),
    "a directory that is not aligned": lambda image: image.put(">Q", image.extension + 16, image.directory + 8),
    "a directory behind the file": extension(">Q", 16, 1 << 40),
    "an empty directory": extension(">Q", 8, 0),
    "a huge directory": extension(">Q", 8, 1 << 40),
    "a short directory": extension(">Q", 8, 56),
    "a long directory": extension(">Q", 8, 72),
    "a directory of guest data": lambda image: image.put(">Q", image.extension + 16, 5 << 16),
    "extra data": directory(">I", 20, 8),
    "extra data that is said to be compatible": both(directory(">I", 20, 8), directory(">I", 12, 6)),
    "the flag of compatible extra data": directory(">I", 12, 6),
    "an unknown flag": directory(">I", 12, 8),
    "type 0": directory("B", 16, 0),
    "type 2": directory("B", 16, 2),
    "granularity 2^8": directory("B", 17, 8),
    "granularity 2^9": directory("B", 17, 9),
    "granularity 2^31": directory("B", 17, 31),
    "granularity 2^32": directory("B", 17, 32),
    "a long name": directory(">H", 18, 1024),
    "a name with a zero byte": directory("B", 25, 0),
    "two bitmaps of one name": directory("B", 32 + 25, ord("0")),
    "a bitmap in use": IN_USE,
    "another bitmap in use": directory(">I", 32 + 12, 1),
    "no table": directory(">Q", 0, 0),
    "a table that is not aligned": lambda image: image.put(">Q", image.directory, image.table + 512),
    "a table behind the file": directory(">Q", 0, 1 << 40),
    "a table of no entries": directory(">I", 8, 0),
    "a table with an entry too many": directory(">I", 8, 2),
    "a large table": directory(">I", 8, 8193),
    "a huge table": directory(">I", 8, 0x8000001),
    "a reserved bit in the table": table(lambda image: 2),
    "another reserved bit in the table": table(lambda image: image.bits | 1 << 60),
    "all bits set": table(lambda image: 1),
    "all bits clear": table(lambda image: 0),
    "all bits set, and a place": table(lambda image: image.bits | 1),
    "bits that are not aligned": table(lambda image: image.bits + 512),
    "bits behind the file": table(lambda image: 1 << 40),
    "bits in the directory": table(lambda image: image.directory),
    "bits behind the last": lambda image: image.put(">Q", image.bits, (1 << 64) - 1),
    "no refcount for the directory": lambda image: image.put(">H", 0x20000 + 2 * (image.directory >> 16), 0),
    "too many refcounts for the table": lambda image: image.put(">H", 0x20000 + 2 * (image.table >> 16), 2),
    "in use, with a reserved bit in the table": both(IN_USE, table(lambda image: 2)),
    "in use, with an entry too many": both(IN_USE, directory(">I", 8, 2)),
    "in use, with a table behind the file": both(IN_USE, directory(">Q", 0, 1 << 40)),
}


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, default_release: Real) -> bytes:
    """An image with two bitmaps."""
    folder = tmp_path_factory.mktemp("sound")
    for words in (
        ["create", "-q", "-f", "qcow2", "x", "1M"],
        ["bitmap", "--add", "x", "b0"],
        ["bitmap", "--add", "--disable", "-g", "32k", "x", "b1"],
    ):
        default_release.do("img", *words, folder=folder)
    default_release.do("io", "-f", "qcow2", "-c", "write 0 64k", "x", folder=folder)
    return (folder / "x").read_bytes()


def _plain(answer: Answer) -> tuple[str, str, int]:
    out = re.sub(r"(disk size: |file length: |Image end offset: ).*", "", answer.out)
    return out, re.sub(r"#block\d+", "#block", answer.error), answer.status


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage(damage: str, sound: bytes, bundled: Bundled, default_release: Real, tmp_path: Path) -> None:
    image = Damaged(sound)
    DAMAGES[damage](image)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        folder.mkdir()
    for question in QUESTIONS:
        for folder in (theirs, ours):
            (folder / "x").write_bytes(image.data)
        expected = _plain(default_release.run("img", question, theirs))
        assert _plain(bundled.run("img", question, ours, default_release.release)) == expected, question
        if question[0] not in NEEDS_CHECK or expected[2]:
            continue
        left = _plain(default_release.run("img", ["check", "x"], theirs))
        assert _plain(default_release.run("img", ["check", "x"], ours)) == left, question


FAULTS = ("cluster_alloc", "refblock_alloc", "refblock_update_part", "cluster_free", "reftable_load")
"""When requests begin to fail: at the opening, or when bitmaps are stored or removed."""


@pytest.mark.parametrize("action", [["--remove", "b1"], ["--add", "--merge", "b0", "new"]], ids=["remove", "add"])
@pytest.mark.parametrize("event", FAULTS)
@pytest.mark.parametrize("kind", ["write", "flush"])
@pytest.mark.parametrize("once", ["on", "off"])
def test_requests_that_fail(
    action: list[str],
    event: str,
    kind: str,
    once: str,
    sound: bytes,
    bundled: Bundled,
    default_release: Real,
    tmp_path: Path,
) -> None:
    faults = {"event": event, "errno": "28", "iotype": kind, "once": once}
    options = ["driver=qcow2", "file.driver=blkdebug", "file.image.filename=x"]
    options += [f"file.inject-error.0.{key}={value}" for key, value in faults.items()]
    words = ["bitmap", *action[:-1], "--image-opts", ",".join(options), action[-1]]
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        folder.mkdir()
        (folder / "x").write_bytes(sound)
    expected = _plain(default_release.run("img", words, theirs))
    assert "No space left on device" in expected[1]
    assert _plain(bundled.run("img", words, ours, default_release.release)) == expected
    for question in (["info", "x"], ["check", "x"]):
        left = _plain(default_release.run("img", question, theirs))
        assert _plain(default_release.run("img", question, ours)) == left
