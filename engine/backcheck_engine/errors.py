"""What can go wrong in the engine, by who has to hear of it.

    EngineError
     ├── BlockError(message, errno)           a request or a change of the graph failed; errno says how
     ├── ImageError(message, offset)          an image file contradicts its own format
     ├── OptionError(message)                 an option is unknown, missing or has a bad value
     └── QmpError(error_class, description)   what a client of the monitor or a user of a tool sees

`block` and `drivers` raise the first three; `monitor` and `tools` turn them into the fourth at their edge.
"""

import errno as errno_codes
import os

GENERIC_ERROR = "GenericError"


class EngineError(Exception):
    """The root of all errors that the engine raises on purpose."""

    errno: int = errno_codes.EINVAL

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint: str | None = None
        """What a tool prints below the message; a QMP description never contains it."""

    def __str__(self) -> str:
        return self.message


class BlockError(EngineError):
    """A request failed, or a node could not be opened or rearranged."""

    def __init__(self, message: str, errno: int = errno_codes.EIO, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.errno = errno
        self.hint = hint

    @classmethod
    def from_errno(cls, errno: int) -> "BlockError":
        """The error of a request that failed with `errno`, in libc's words."""
        return cls(os.strerror(errno), errno)

    @classmethod
    def from_os_error(cls, error: OSError) -> "BlockError":
        """The error of a request whose system call raised `error`."""
        return cls.from_errno(error.errno or errno_codes.EIO)

    def prefixed(self, prefix: str) -> "BlockError":
        """The same error, said from one level further up."""
        return BlockError(prefix + self.message, self.errno, hint=self.hint)


class ImageError(EngineError):
    """An image file contradicts its format; `offset` is where in the file, when that is known."""

    def __init__(self, message: str, offset: int | None = None, *, errno: int = errno_codes.EINVAL) -> None:
        super().__init__(message)
        self.offset = offset
        self.errno = errno


class OptionError(EngineError):
    """An option is unknown, missing, or has a value that it does not take."""


class DriveTextError(OptionError):
    """What is wrong with the text of a drive, before a drive is made of it."""


class QmpError(EngineError):
    """An error reply: its class, and the description that a person reads."""

    def __init__(self, error_class: str, description: str) -> None:
        super().__init__(description)
        self.error_class = error_class
        self.description = description

    @classmethod
    def generic(cls, text: str) -> "QmpError":
        """A GenericError, the class of nearly every error."""
        return cls(GENERIC_ERROR, text)
