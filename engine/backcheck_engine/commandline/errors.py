"""What is wrong with a command line, and where."""

from __future__ import annotations

from backcheck_engine.errors import EngineError, OptionError


class CommandLineError(OptionError):
    """An option that cannot be honoured; `location` is the option as it was given, or "" for the whole."""

    def __init__(self, message: str, location: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.location = location
        self.hint = hint

    @classmethod
    def at(cls, location: str, error: EngineError) -> CommandLineError:
        """The same error, told of the option that caused it."""
        return cls(error.message, location, hint=error.hint)

    def report(self, program: str) -> str:
        """What the user sees, as QEMU words it."""
        place = f"{program}: {self.location}: " if self.location else f"{program}: "
        return f"{place}{self.message}\n" + (f"{self.hint}\n" if self.hint else "")


class HelpRequested(Exception):
    """The user asked for help: print `text` and end with `status`."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
