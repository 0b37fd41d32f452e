"""A tool as a program: its name, its messages, its exit status, and an end without a traceback whatever happens."""

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Final, TextIO

from backcheck_engine import standard_streams
from backcheck_engine.errors import EngineError

EXIT_BUG: Final = 70


class ToolError(EngineError):
    """A tool cannot do what was asked; `status` is its exit status."""

    def __init__(self, message: str, *, status: int = 1, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint

    def lines(self, name: str) -> str:
        """What goes to stderr, for a program called `name`."""
        return f"{name}: {self.message}" + (f"\n{self.hint}" if self.hint else "")


class Program:
    """This process as its user sees it. Messages begin with the name it was called by."""

    def __init__(self, default_name: str) -> None:
        standard_streams.open_closed()
        sys.stdout = sys.stdout or open(standard_streams.OUTPUT, "w")  # noqa: SIM115  # the program's own, to its end
        sys.stderr = sys.stderr or open(standard_streams.ERROR, "w")  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # Filenames that are no valid text are printed as the bytes that they are.
                stream.reconfigure(errors="surrogateescape")
        called = sys.argv[0] if sys.argv and sys.argv[0] else default_name
        if not os.path.basename(called).startswith(default_name):
            called = default_name
        self.path: Final = called
        self.name: Final = os.path.basename(called)

    def write(self, text: str) -> None:
        """Put text on stdout; it is there at the latest when the program ends."""
        _write(sys.stdout, text)

    def say(self, line: str) -> None:
        """Put a line on stdout."""
        _write(sys.stdout, f"{line}\n")

    def flush(self) -> None:
        """Make what was written appear."""
        _flush(sys.stdout)

    def complain(self, text: str) -> None:
        """Put lines on stderr as they are."""
        self.flush()
        _write(sys.stderr, f"{text}\n")
        _flush(sys.stderr)

    def error(self, error: EngineError | str) -> None:
        """Report an error under the program's name, with its hint."""
        hint = error.hint if isinstance(error, EngineError) else None
        self.complain(f"{self.name}: {error}" + (f"\n{hint}" if hint else ""))

    def warning(self, text: str) -> None:
        """Report a warning under the program's name."""
        self.error(f"warning: {text}")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except OSError:
        _discard_from_now_on(stream)


def _flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        _discard_from_now_on(stream)


def _discard_from_now_on(stream: TextIO) -> None:
    """Nobody reads any more, or there is no room. The work goes on, as QEMU's does, and says nothing about it."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


def run(program: Program, start: Callable[[], int]) -> int:
    """Do the work of a program, turning whatever ends it into an exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        status = start()
    except ToolError as error:
        program.complain(error.lines(program.name))
        status = error.status
    except EngineError as error:
        program.error(error)
        status = 1
    except Exception:
        # A bug ends the program with one line; the traceback is for who repairs it.
        program.error(f"internal error, please report the traceback in {_save_traceback()}")
        status = EXIT_BUG
    program.flush()
    return status


def _save_traceback() -> str:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="backcheck-", suffix=".traceback", delete=False) as file:
        traceback.print_exc(file=file)
    return file.name
