"""The driver `host_device`: an image on a block or character device of the host."""

import errno
import os

from backcheck_engine.block.request import RequestFlag
from backcheck_engine.drivers.protocol.file import FileDriver
from backcheck_engine.errors import BlockError


class HostDeviceDriver(FileDriver):
    """An image on a block or character device."""

    format_name = "host_device"
    protocol_prefix = "host_device"
    is_device = True
    supports_discard = False
    zero_flags = RequestFlag.NONE

    def size(self) -> int:
        try:
            return os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            raise BlockError.from_os_error(error) from error

    def has_zero_init(self) -> bool:
        """Nobody knows what is on a device."""
        return False

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        raise BlockError.from_errno(errno.ENOTSUP)

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        if preallocation != "off":
            message = f"Preallocation mode '{preallocation}' unsupported for this non-regular file"
            raise BlockError(message, errno.ENOTSUP)
        if exact and size != self.size():
            raise BlockError("Cannot resize device files", errno.ENOTSUP)
        if size > self.size():
            raise BlockError("Cannot grow device files", errno.EINVAL)
