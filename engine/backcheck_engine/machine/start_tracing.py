"""Switches trace events on as the command line asks, before anything happens that could be traced."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from backcheck_engine import tracing
from backcheck_engine.commandline.errors import CommandLineError
from backcheck_engine.errors import EngineError
from backcheck_engine.monitor.registry import names

if TYPE_CHECKING:
    from backcheck_engine.commandline.settings import TraceSettings


def start_tracing(settings: TraceSettings, program: str) -> None:
    """Raises CommandLineError when the log file cannot be written."""
    if settings.log_file is not None:
        try:
            tracing.LOG.open(settings.log_file)
        except EngineError as error:
            raise CommandLineError.at("", error) from error
    tracing.LOG.has_timestamps |= settings.has_timestamps
    tracing.declare_commands(names())
    for pattern in settings.patterns:
        is_on = not pattern.startswith("-")
        name = pattern if is_on else pattern[1:]
        events = tracing.matching(name)
        if not events and not tracing.is_pattern(name):
            sys.stderr.write(f"{program}: -trace {pattern}: warning: trace event '{name}' does not exist\n")
        for event in events:
            event.is_on = is_on
