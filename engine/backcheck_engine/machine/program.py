"""From argv to settings, from settings to a machine, and the exit status when it has quit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from backcheck_engine.commandline.errors import CommandLineError, HelpRequested
from backcheck_engine.commandline.reader import parse
from backcheck_engine.complaints import program_name
from backcheck_engine.errors import EngineError
from backcheck_engine.release import current

if TYPE_CHECKING:
    from backcheck_engine.commandline.settings import Settings
    from backcheck_engine.machine.daemon import Daemon


def run(argv: list[str]) -> int:
    """Run the engine with QEMU's arguments; its exit status."""
    program = program_name()
    try:
        return _parse_and_run(argv, program)
    except Exception as bug:
        from backcheck_engine.machine.crash import end_with_bug

        end_with_bug(bug, program)


def _parse_and_run(argv: list[str], program: str) -> int:
    try:
        settings = parse(argv, program, current(), sys.stderr.write)
    except HelpRequested as help_:
        sys.stdout.write(help_.text)
        return help_.status
    except EngineError as error:
        return _fail(error, program)
    daemon = None
    if settings.daemonize:
        from backcheck_engine.machine.daemon import daemonize

        daemon = daemonize()
    try:
        return _run(settings, daemon)
    except EngineError as error:
        return _fail(error, program)


def _fail(error: EngineError, program: str) -> int:
    if not isinstance(error, CommandLineError):
        error = CommandLineError.at("", error)
    sys.stderr.write(error.report(program))
    return 1


def _run(settings: Settings, daemon: Daemon | None) -> int:
    """Open what can be opened without a loop, then run the loop. Raises EngineError while starting."""
    from backcheck_engine.machine.endpoints import open_endpoints

    if settings.trace.is_wanted:
        from backcheck_engine.machine.start_tracing import start_tracing

        start_tracing(settings.trace, settings.program)
    endpoints = open_endpoints(settings)
    if settings.pidfile:
        from backcheck_engine.machine.daemon import write_pidfile

        write_pidfile(settings.pidfile)
    from backcheck_engine.machine.lifetime import run_machine

    try:
        run_machine(settings, endpoints.of_monitors, daemon)
    finally:
        if settings.pidfile:
            os.unlink(settings.pidfile)
    return 0
