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

_IS_OLD: Final = release.current() < release.QEMU_7_2
"""Whether the events are those of 5.2, which always told the time."""


class _Log:
    """Where the lines go."""

    def __init__(self) -> None:
        self._file: TextIO | None = None
        self.has_timestamps = _IS_OLD

    def open(self, template: str) -> None:
        """Write to a file from now on; one %d in its name is the process's number. Raises EngineError."""
        if "%" in template.replace("%d", "", 1):
            raise EngineError(f"Bad logfile {'format' if _IS_OLD else 'template'}: {template}")
        name = template.replace("%d", str(os.getpid()))
        try:
            file = open(name, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            where = name if _IS_OLD else f"Error opening logfile {name}"
            raise EngineError(f"{where}: {os.strerror(error.errno or 0)}") from error
        if self._file is not None:
            self._file.close()
        self._file = file

    def write(self, line: str) -> None:
        """Write one line, at once."""
        if self.has_timestamps:
            line = f"{os.getpid()}@{time.time():.6f}:{line}"
        print(line, file=self._file or sys.stderr, flush=True)


LOG: Final = _Log()


class TraceEvent:
    """One event; `text` has a place for each of its values."""

    __slots__ = ("is_on", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name: Final = name
        self.text: Final = text
        self.is_on = False
        EVENTS[name] = self

    def __call__(self, *values: object) -> None:
        """Say it."""
        shown = (value if isinstance(value, int | str) else f"{id(value):#x}" for value in values)
        LOG.write(f"{self.name} {self.text.format(*shown)}")


EVENTS: Final[dict[str, TraceEvent]] = {}
"""All events by name, in QEMU's order."""

ZERO_WRITE: Final = 0x2
"""Among the flags of a request: it writes zeroes."""
_REQUEST: Final = "bs {} offset {} bytes {} flags {:#x}"


def _of_release(old: tuple[str, str], new: tuple[str, str]) -> TraceEvent:
    """An event about a request, by its name and its word for the length, in 5.2 and later."""
    name, word = old if _IS_OLD else new
    return TraceEvent(name, _REQUEST.replace("bytes", word))


JOB_STATE_TRANSITION: Final = TraceEvent(
    "job_state_transition", "job {} (ret: {}) attempting allowed transition ({}-->{})"
)
JOB_APPLY_VERB: Final = TraceEvent("job_apply_verb", "job {} in state {}; applying verb {} ({})")
JOB_COMPLETED: Final = TraceEvent("job_completed", "job {} ret {}")
HANDLE_HMP_COMMAND: Final = TraceEvent("handle_hmp_command", "mon {} cmdline: {}")
HANDLE_QMP_COMMAND: Final = TraceEvent("handle_qmp_command", "mon {} req: {}")
BLK_CO_PREADV: Final = TraceEvent("blk_co_preadv", f"blk {{}} {_REQUEST}")
BLK_CO_PWRITEV: Final = TraceEvent("blk_co_pwritev", f"blk {{}} {_REQUEST}")
BDRV_CO_PREADV: Final = _of_release(("bdrv_co_preadv", "nbytes"), ("bdrv_co_preadv_part", "bytes"))
BDRV_CO_PWRITEV: Final = _of_release(("bdrv_co_pwritev", "nbytes"), ("bdrv_co_pwritev_part", "bytes"))
BDRV_CO_PWRITE_ZEROES: Final = _of_release(("bdrv_co_pwrite_zeroes", "count"), ("bdrv_co_pwrite_zeroes", "bytes"))
BACKUP_DO_COW_ENTER: Final = TraceEvent("backup_do_cow_enter", "job {} start {} offset {} bytes {}")
BACKUP_DO_COW_RETURN: Final = TraceEvent("backup_do_cow_return", "job {} offset {} bytes {} ret {}")
BLOCK_COPY_SKIP_RANGE: Final = TraceEvent("block_copy_skip_range", "bcs {} start {} bytes {}")
BLOCK_COPY_PROCESS: Final = TraceEvent("block_copy_process", "bcs {} start {}")
BLOCK_COPY_READ_FAIL: Final = TraceEvent("block_copy_read_fail", "bcs {} start {} ret {}")
BLOCK_COPY_WRITE_FAIL: Final = TraceEvent("block_copy_write_fail", "bcs {} start {} ret {}")
BLOCK_COPY_WRITE_ZEROES_FAIL: Final = TraceEvent("block_copy_write_zeroes_fail", "bcs {} start {} ret {}")


def declare_commands(names: Iterable[str]) -> None:
    """Have an event for the beginning and one for the end of each QMP command; 5.2 had none."""
    if _IS_OLD:
        return
    for name in sorted(names):
        for kind, text in (("enter", "{}"), ("exit", "{} {}")):
            event_name = f"qmp_{kind}_{name.replace('-', '_')}"
            if event_name not in EVENTS:
                TraceEvent(event_name, text)


def command_event(kind: str, command: str) -> TraceEvent | None:
    """The event "enter" or "exit" of a QMP command, if somebody wants it."""
    event = EVENTS.get(f"qmp_{kind}_{command.replace('-', '_')}")
    return event if event is not None and event.is_on else None


def matching(pattern: str) -> list[TraceEvent]:
    """The events whose names a pattern with `*` and `?` fits, in the order of the list."""
    expression = re.compile("".join(_WILDCARDS.get(letter) or re.escape(letter) for letter in pattern), re.DOTALL)
    return [event for name, event in EVENTS.items() if expression.fullmatch(name)]


_WILDCARDS: Final = {"*": ".*", "?": "."}


def is_pattern(name: str) -> bool:
    """Whether a name has wildcards, so that it need not fit anything."""
    return any(letter in _WILDCARDS for letter in name)
