"""-trace, -D, -d and -msg, as far as they are about what is traced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backcheck_engine import tracing
from backcheck_engine.commandline.errors import HelpRequested
from backcheck_engine.commandline.settings import TraceSettings
from backcheck_engine.commandline.syntax import parse_flat
from backcheck_engine.errors import OptionError

_HELP_WORDS: Final = ("help", "?")
_TRACE_ITEM: Final = "trace:"
_PROCESSOR_ITEMS: Final = ("out_asm", "in_asm", "op", "op_opt", "op_ind", "int", "exec", "cpu", "fpu", "mmu", "pcall")
_OTHER_ITEMS: Final = ("cpu_reset", "unimp", "guest_errors", "page", "nochain", "strace", "plugin", "tid", "vpu")
_LOG_ITEMS: Final = (*_PROCESSOR_ITEMS, *_OTHER_ITEMS, "invalid_mem")
"""What else -d can ask for: all about the processor, which is not there."""


def take_trace(settings: TraceSettings, argument: str) -> None:
    """-trace. Raises OptionError or HelpRequested."""
    if argument in _HELP_WORDS:
        raise HelpRequested("".join(f"{name}\n" for name in tracing.all_names()))
    for item in parse_flat(argument, "enable"):
        if item.key == "enable":
            settings.patterns.append(item.value)
        elif item.key == "events":
            settings.patterns += _patterns_in(item.value)
        elif item.key != "file":
            raise OptionError(f"Invalid parameter '{item.key}'")


def take_log_items(settings: TraceSettings, argument: str) -> None:
    """-d: a list of items, of which the events are honoured. Raises HelpRequested, also for an item that is unknown."""
    for item in argument.split(","):
        if item.startswith(_TRACE_ITEM):
            settings.patterns.append(item.removeprefix(_TRACE_ITEM))
        elif item not in _LOG_ITEMS:
            listed = "".join(f"{name}\n" for name in (*_LOG_ITEMS, f"{_TRACE_ITEM}PATTERN"))
            raise HelpRequested(f"Log items (comma separated):\n{listed}", status=1)


def take_message_format(settings: TraceSettings, argument: str) -> None:
    """-msg timestamp=on. Raises OptionError."""
    for item in parse_flat(argument):
        if item.key not in ("timestamp", "guest-name"):
            raise OptionError(f"Invalid parameter '{item.key}'")
        if item.key == "timestamp":
            settings.has_timestamps = item.value in ("on", "yes", "true", "y")


def _patterns_in(name: str) -> Iterator[str]:
    """The lines of a file that are neither empty nor comments. Raises OptionError."""
    try:
        lines = Path(name).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise OptionError(f"{name}: {os.strerror(error.errno or 0)}") from error
    return (line.strip() for line in lines if line.strip() and not line.startswith("#"))
