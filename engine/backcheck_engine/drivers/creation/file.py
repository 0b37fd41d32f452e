"""Making regular files, which hold raw images or whatever a format writes into them."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backcheck_engine.block.io_threads import run_in_thread
from backcheck_engine.block.options import bad_choice
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.complaints import complain
from backcheck_engine.drivers.creation.options import SIZE, CreateOption, CreateOptions, OptionKind
from backcheck_engine.drivers.protocol.extent_size import DEFAULT_HINT, MAX_HINT, set_extent_size
from backcheck_engine.errors import BlockError, OptionError

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject

PREALLOCATIONS = ("off", "falloc", "full")
OPTIONS: Sequence[CreateOption] = (
    SIZE,
    CreateOption(name="nocow", kind=OptionKind.BOOL, help="Turn off copy-on-write (valid only on btrfs)"),
    CreateOption(
        name="preallocation",
        kind=OptionKind.STRING,
        help="Preallocation mode (allowed values: off, falloc, full)",
    ),
    CreateOption(
        name="extent_size_hint",
        kind=OptionKind.SIZE,
        help="Extent size hint for the image file, 0 to disable",
    ),
)


async def create_from_options(filename: str, options: CreateOptions) -> None:
    """Make a file of the size that the options say, rounded up to sectors. Raises in QEMU's words."""
    size = -(-options.number("size") // SECTOR_SIZE) * SECTOR_SIZE
    preallocation = options.text("preallocation") or "off"
    if preallocation not in (*PREALLOCATIONS, "metadata"):
        raise OptionError(f"invalid parameter value: {preallocation}")
    await create_file(_path(filename), size, preallocation=preallocation, extent_size=chosen_extent_size(options))


def chosen_extent_size(options: CreateOptions) -> int | None:
    """The hint that somebody chose, in bytes, or None."""
    return options.number("extent_size_hint") if options.get("extent_size_hint") is not None else None


async def create_from_qapi(options: JsonObject) -> None:
    """BlockdevCreateOptionsFile of QAPI."""
    filename, size = options["filename"], options["size"]
    preallocation = options.get("preallocation", "off")
    assert isinstance(filename, str)
    assert isinstance(size, int)
    hint = options.get("extent-size-hint")
    assert isinstance(preallocation, str)
    assert isinstance(hint, int | None)
    if preallocation not in PREALLOCATIONS and preallocation != "metadata":
        raise bad_choice("preallocation", preallocation)
    await create_file(filename, size, preallocation=preallocation, extent_size=hint)


async def create_file(path: str, size: int, *, preallocation: str = "off", extent_size: int | None = None) -> None:
    """Make `path` a regular file of `size` zero bytes, whatever it was before. Raises BlockError in QEMU's words.

    What the mode `metadata` says makes sense for formats only; it is refused when the file is there. extent_size: the
    hint in bytes for the file system, 0 for none; QEMU's own, which need not be taken, if nobody chose one.
    """
    if extent_size is not None and extent_size > MAX_HINT:
        raise BlockError("Extent size hint is too large", errno.EINVAL)
    await run_in_thread(_create, path, size, preallocation, extent_size)


def _create(path: str, size: int, preallocation: str, extent_size: int | None) -> None:
    from backcheck_engine.drivers.protocol.file_resize import resize_file
    from backcheck_engine.drivers.protocol.image_locks import ImageLocks, locks_work

    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except (OSError, ValueError) as error:
        code = (error.errno if isinstance(error, OSError) else None) or errno.EINVAL
        raise BlockError(f"Could not create '{path}': {os.strerror(code)}", code) from error
    try:
        if locks_work(fd):
            ImageLocks().prepare(fd, Permission.WRITE | Permission.RESIZE, Permission.ALL & ~Permission.RESIZE, path)
        resize_file(fd, 0, "off")
        _hint(fd, extent_size)
        resize_file(fd, size, preallocation)
    finally:
        os.close(fd)


def _hint(descriptor: int, extent_size: int | None) -> None:
    """Tell the file system; that it does not take the hint matters to who chose one."""
    hint = DEFAULT_HINT if extent_size is None else extent_size
    if not hint:
        return
    try:
        set_extent_size(descriptor, hint)
    except OSError as error:
        if extent_size is not None:
            complain(f"warning: Failed to set extent size hint: {os.strerror(error.errno or 0)}")


def _path(filename: str) -> str:
    return filename.removeprefix("file:")
