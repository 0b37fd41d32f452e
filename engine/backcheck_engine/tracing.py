"""Trace events: what the engine does inside, said in lines with QEMU's names for those who ask for them.

A place that has something to say asks first, so that an event that nobody wants costs one look at an attribute:

    if BLOCK_COPY_PROCESS.is_on:
        BLOCK_COPY_PROCESS(self, offset)

Lines go to standard error, or to the log file. What QEMU prints as a pointer is the identity of an object here.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.errors import EngineError

if TYPE_CHECKING:
    from typing import TextIO


def _is_old() -> bool:
    """Whether the events are those of 5.2, which always told the time. Asked late: a program may yet be told."""
    return release.current() < release.QEMU_7_2


class _Log:
    """Where the lines go."""

    def __init__(self) -> None:
        self._file: TextIO | None = None
        self.has_timestamps = False

    def open(self, template: str) -> None:
        """Write to a file from now on; one %d in its name is the process's number. Raises EngineError."""
        if "%" in template.replace("%d", "", 1):
            raise EngineError(f"Bad logfile {'format' if _is_old() else 'template'}: {template}")
        name = template.replace("%d", str(os.getpid()))
        try:
            file = open(name, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            where = name if _is_old() else f"Error opening logfile {name}"
            raise EngineError(f"{where}: {os.strerror(error.errno or 0)}") from error
        if self._file is not None:
            self._file.close()
        self._file = file

    def write(self, line: str) -> None:
        """Write one line, at once."""
        if self.has_timestamps or _is_old():
            line = f"{os.getpid()}@{time.time():.6f}:{line}"
        print(line, file=self._file or sys.stderr, flush=True)


LOG: Final = _Log()


class TraceEvent:
    """One event; `text` has a place for each of its values. `old` is what 5.2 had: the name and the text."""

    __slots__ = ("_new", "_old", "is_on")

    def __init__(self, name: str, text: str, *, old: tuple[str, str] | None = None) -> None:
        self._new: Final = (name, text)
        self._old: Final = old
        self.is_on = False
        _EVENTS.append(self)

    @property
    def name(self) -> str:
        """What the release calls it."""
        return self._form[0]

    @property
    def _form(self) -> tuple[str, str]:
        return self._old if self._old is not None and _is_old() else self._new

    def __call__(self, *values: object) -> None:
        """Say it."""
        name, text = self._form
        shown = (value if isinstance(value, int | str) else f"{id(value):#x}" for value in values)
        LOG.write(f"{name} {text.format(*shown)}")


_EVENTS: Final[list[TraceEvent]] = []
"""All of them, in QEMU's order."""


ZERO_WRITE: Final = 0x2
"""Among the flags of a request: it writes zeroes."""
_REQUEST: Final = "bs {} offset {} bytes {} flags {:#x}"


JOB_STATE_TRANSITION: Final = TraceEvent(
    "job_state_transition", "job {} (ret: {}) attempting allowed transition ({}-->{})"
)
JOB_APPLY_VERB: Final = TraceEvent("job_apply_verb", "job {} in state {}; applying verb {} ({})")
JOB_COMPLETED: Final = TraceEvent("job_completed", "job {} ret {}")
HANDLE_HMP_COMMAND: Final = TraceEvent("handle_hmp_command", "mon {} cmdline: {}")
HANDLE_QMP_COMMAND: Final = TraceEvent("handle_qmp_command", "mon {} req: {}")
BLK_CO_PREADV: Final = TraceEvent("blk_co_preadv", f"blk {{}} {_REQUEST}")
BLK_CO_PWRITEV: Final = TraceEvent("blk_co_pwritev", f"blk {{}} {_REQUEST}")
BDRV_CO_PREADV: Final = TraceEvent(
    "bdrv_co_preadv_part", _REQUEST, old=("bdrv_co_preadv", _REQUEST.replace("bytes", "nbytes"))
)
BDRV_CO_PWRITEV: Final = TraceEvent(
    "bdrv_co_pwritev_part", _REQUEST, old=("bdrv_co_pwritev", _REQUEST.replace("bytes", "nbytes"))
)
BDRV_CO_PWRITE_ZEROES: Final = TraceEvent(
    "bdrv_co_pwrite_zeroes", _REQUEST, old=("bdrv_co_pwrite_zeroes", _REQUEST.replace("bytes", "count"))
)
BACKUP_DO_COW_ENTER: Final = TraceEvent("backup_do_cow_enter", "job {} start {} offset {} bytes {}")
BACKUP_DO_COW_RETURN: Final = TraceEvent("backup_do_cow_return", "job {} offset {} bytes {} ret {}")
BLOCK_COPY_SKIP_RANGE: Final = TraceEvent("block_copy_skip_range", "bcs {} start {} bytes {}")
BLOCK_COPY_PROCESS: Final = TraceEvent("block_copy_process", "bcs {} start {}")
BLOCK_COPY_READ_FAIL: Final = TraceEvent("block_copy_read_fail", "bcs {} start {} ret {}")
BLOCK_COPY_WRITE_FAIL: Final = TraceEvent("block_copy_write_fail", "bcs {} start {} ret {}")
BLOCK_COPY_WRITE_ZEROES_FAIL: Final = TraceEvent("block_copy_write_zeroes_fail", "bcs {} start {} ret {}")


_commands: Final[dict[tuple[str, str], TraceEvent]] = {}
"""The events "enter" and "exit" of each QMP command, once they are declared."""


def declare_commands(names: Iterable[str]) -> None:
    """Have an event for the beginning and one for the end of each QMP command; 5.2 had none."""
    if _commands or _is_old():
        return
    for command in sorted(names):
        for kind, text in (("enter", "{}"), ("exit", "{} {}")):
            _commands[kind, command] = TraceEvent(f"qmp_{kind}_{command.replace('-', '_')}", text)


def command_event(kind: str, command: str) -> TraceEvent | None:
    """The event "enter" or "exit" of a QMP command, if somebody wants it."""
    event = _commands.get((kind, command))
    return event if event is not None and event.is_on else None


def all_names() -> list[str]:
    """The names of all events."""
    return [event.name for event in _EVENTS]


def matching(pattern: str) -> list[TraceEvent]:
    """The events whose names a pattern with `*` and `?` fits, in the order of the list."""
    expression = re.compile("".join(_WILDCARDS.get(letter) or re.escape(letter) for letter in pattern), re.DOTALL)
    return [event for event in _EVENTS if expression.fullmatch(event.name)]


_WILDCARDS: Final = {"*": ".*", "?": "."}


def is_pattern(name: str) -> bool:
    """Whether a name is a pattern, which need not fit anything: a `*` makes it one, a `?` does not."""
    return "*" in name
