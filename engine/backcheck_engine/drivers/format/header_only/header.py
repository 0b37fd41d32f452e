"""What the headers of all these formats come to."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from backcheck_engine.errors import BlockError


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderFile:
    """The file that an image lies in."""

    filename: str
    size: int
    read: Callable[[int, int], Awaitable[bytes]]
    """(offset, length): what is there, with zeroes behind the file's end. Raises BlockError."""

    def refusal(self, code: int) -> BlockError:
        """The error where QEMU has no words but those of an errno."""
        return BlockError(f"Could not open '{self.filename}': {os.strerror(code)}", code)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutline:
    """What a header says of its image."""

    size: int
    """The virtual size in bytes."""
    cluster_size: int
    """How much is allocated together, in bytes."""
    backing_place: tuple[int, int] | None = None
    """(offset in the file, length) of the backing file's name."""
    backing_format: str = ""
    """The backing file's format, where the header says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """The file of an empty image."""

    parts: tuple[tuple[int, bytes], ...]
    """What is to be written where."""
    length: int
    """How long the file is."""


def new_identity() -> bytes:
    """The 16 bytes of a random UUID."""
    identity = bytearray(os.urandom(16))
    identity[6] = identity[6] & 0x0F | 0x40
    identity[8] = identity[8] & 0x3F | 0x80
    return bytes(identity)
