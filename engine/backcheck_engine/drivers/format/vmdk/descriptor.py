"""The descriptor: the text that says what an image is and which files it is made of. No I/O."""

from __future__ import annotations

import enum
import errno
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from backcheck_engine.errors import BlockError

NO_PARENT: Final = 0xFFFFFFFF
"""The parent's content id of an image without one."""
MAX_LENGTH: Final = 1024 * 1024 - 1
"""How much of a text is looked at."""
MAX_EXTENTS: Final = 2048
_MAX_KIND: Final = 127
_MAX_PARENT_NAME: Final = 4095

_HEXADECIMAL: Final = r"\s*[+-]?(?:0[xX](?=[0-9a-fA-F]))?[0-9a-fA-F]+"
_OWN_CID: Final = re.compile(f"(?<!parent)CID={_HEXADECIMAL}")
_CID_VALUE: Final = re.compile(_HEXADECIMAL)
_LARGEST_READ: Final = 2**64 - 1
_CREATE_TYPE: Final = re.compile(r'createType="([^"]*)"')
_PARENT: Final = re.compile(r'parentFileNameHint="([^"]*)("?)')
_UNFINISHED_FLAT: Final = re.compile(r'\s*RW\s+[+-]?\d+\s+FLAT\s+"[^"\r\n]')
_EXTENT: Final = re.compile(
    r'\s*(?P<access>\S+)\s+(?P<sectors>[+-]?\d{1,20})\s+(?P<kind>\S+)\s+"(?P<name>[^"\r\n]{1,511})"'
    r"(?:\s*(?P<offset>[+-]?\d{1,20}))?",
    re.ASCII,
)

CREATE_TYPES: Final = ("monolithicFlat", "vmfs", "vmfsSparse", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat")
"""The images in several files that can be opened."""

_TEMPLATE: Final = """\
# Disk DescriptorFile
version=1
CID={cid:08x}
parentCID={parent_cid:08x}
createType="{create_type}"
{parent}
# Extent description
{extents}
# The Disk Data Base
#DDB

ddb.virtualHWVersion = "{hardware}"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "{heads}"
ddb.geometry.sectors = "63"
ddb.adapterType = "{adapter}"
ddb.toolsVersion = "{tools}"
"""


class ExtentKind(enum.Enum):
    """What an extent's file is, in the words of the descriptor."""

    FLAT = "FLAT"
    VMFS = "VMFS"
    SPARSE = "SPARSE"
    VMFS_SPARSE = "VMFSSPARSE"

    @property
    def is_flat(self) -> bool:
        """Whether the file is the disk's content as it is."""
        return self in (ExtentKind.FLAT, ExtentKind.VMFS)


_KINDS: Final = {kind.value: kind for kind in ExtentKind}
_UNREADABLE: Final = "SESPARSE"
_LARGEST_OFFSET: Final = 2**54
"""In sectors; no file has as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtentLine:
    """One file of an image."""

    kind: ExtentKind
    sectors: int
    filename: str
    offset_sectors: int = 0
    """Where in a flat file the disk's content begins."""

    def __str__(self) -> str:
        offset = f" {self.offset_sectors}" if self.kind is ExtentKind.FLAT else ""
        return f'RW {self.sectors} {self.kind.value} "{self.filename}"{offset}'


def as_text(data: bytes) -> str:
    """A descriptor's bytes, up to the first zero, as text that turns into the same bytes again."""
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def as_bytes(text: str) -> bytes:
    """The opposite of `as_text`."""
    return text.encode("utf-8", "surrogateescape")


def create_type(text: str) -> str:
    """The kind of an image in several files. Raises BlockError in QEMU's words unless it can be opened."""
    found = _CREATE_TYPE.search(text)
    if found is None or len(found[1].encode("utf-8", "surrogateescape")) > _MAX_KIND:
        raise BlockError("invalid VMDK image descriptor", errno.EINVAL)
    if found[1] not in CREATE_TYPES:
        raise BlockError(f"Unsupported image type '{found[1]}'", errno.ENOTSUP)
    return found[1]


def content_ids(text: str) -> tuple[int, int] | None:
    """(the image's content id, its parent's), or None where the text does not tell both."""
    own, parent = _first_number(text, "CID="), _first_number(text, "parentCID=")
    return None if own is None or parent is None else (own, parent)


def _first_number(text: str, name: str) -> int | None:
    """The number behind the first `name`, as C reads one into 32 bits."""
    at = text.find(name)
    found = _CID_VALUE.match(text, at + len(name)) if at >= 0 else None
    if found is None:
        return None
    number = int(found[0], 16)
    return (min(number, _LARGEST_READ) if number >= 0 else max(number, -_LARGEST_READ)) & NO_PARENT


def with_content_id(text: str, cid: int) -> str:
    """The text with another content id of the image."""
    return _OWN_CID.sub(f"CID={cid:08x}", text, count=1)


def parent_name(text: str) -> str:
    """The backing file's name, or ''. Raises BlockError for one that cannot be."""
    found = _PARENT.search(text)
    if found is None:
        return ""
    if not found[2] or len(as_bytes(found[1])) > _MAX_PARENT_NAME:
        raise BlockError.from_errno(errno.EINVAL)
    return found[1]


def extent_lines(text: str) -> Iterator[ExtentLine]:
    """The extents that can be written and that hold anything. Raises BlockError in QEMU's words.

    Lines about others, as about areas that are all zeroes, are left out, as QEMU leaves them out.
    """
    count = 0
    for line in text.split("\n"):
        found = _EXTENT.match(line)
        if found is None:
            if _UNFINISHED_FLAT.match(line):
                raise _bad_line(line)
            continue
        if found["access"] != "RW":
            continue
        kind = _KINDS.get(found["kind"])
        offset = None if found["offset"] is None else int(found["offset"])
        if (kind is ExtentKind.FLAT) != (offset is not None) or not 0 <= (offset or 0) < _LARGEST_OFFSET:
            raise _bad_line(line)
        if int(found["sectors"]) <= 0:
            continue
        if found["kind"] == _UNREADABLE:
            raise BlockError(f"Unsupported extent type '{_UNREADABLE}'", errno.ENOTSUP)
        if kind is None:
            continue
        count += 1
        if count > MAX_EXTENTS:
            raise BlockError(f"More than {MAX_EXTENTS} extents", errno.EFBIG)
        yield ExtentLine(kind=kind, sectors=int(found["sectors"]), filename=found["name"], offset_sectors=offset or 0)


def _bad_line(line: str) -> BlockError:
    return BlockError(f"Invalid extent line: {line}", errno.EINVAL)


def make_text(
    *,
    cid: int,
    parent_cid: int,
    create_type: str,
    parent: str | None,
    extents: Sequence[ExtentLine],
    hardware: str,
    cylinders: int,
    heads: int,
    adapter: str,
    tools: str,
) -> str:
    """The descriptor of a new image."""
    return _TEMPLATE.format(
        cid=cid,
        parent_cid=parent_cid,
        create_type=create_type,
        parent="" if parent is None else f'parentFileNameHint="{parent}"',
        extents="".join(f"{extent}\n" for extent in extents),
        hardware=hardware,
        cylinders=cylinders,
        heads=heads,
        adapter=adapter,
        tools=tools,
    )
