"""What a build can do, asked of its programs: the reasons why a case that needs it does not run there."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from backcheck.errors import UsageError
from backcheck.implementation import Implementation
from backcheck.recording.recorder import Recorder
from backcheck.story.schema import Schema
from backcheck.vm import Machine

QUERY_TIMEOUT_S = 60.0


def why_missing(implementation: Implementation, capability: str) -> str | None:
    """Why the implementation lacks a capability, or None when it has it. Raises UsageError for an unknown one."""
    kind, _, name = capability.partition(":")
    check = _CHECKS.get(kind)
    if check is None or bool(name) == (kind in _PLAIN):
        raise UsageError(f"{capability!r} is no capability; there are {', '.join(_KNOWN)}")
    return check(implementation, name)


def _zstd(implementation: Implementation, _: str) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("create", "-q", "-f", "qcow2", "-o", "compression_type=zstd", "x.qcow2", "1M")
        created = implementation.img(*arguments, cwd=Path(folder))
    return None if created.status == 0 else f"{implementation.name} lacks zstd"


def _nbd_server(implementation: Implementation, _: str) -> str | None:
    return f"{implementation.name} lacks an NBD server program" if implementation.nbd_program is None else None


def _tool(_: Implementation, name: str) -> str | None:
    return None if shutil.which(name) else f"there is no {name} on PATH"


def _driver(implementation: Implementation, name: str) -> str | None:
    return None if name in _schema(implementation).drivers() else f"{implementation.name} lacks the driver {name}"


def _command(implementation: Implementation, name: str) -> str | None:
    found = _schema(implementation).command(name) is not None
    return None if found else f"{implementation.name} lacks the command {name}"


def _argument(implementation: Implementation, name: str) -> str | None:
    command, _, argument = name.rpartition(".")
    schema = _schema(implementation).command(command)
    found = schema is not None and argument in schema.arguments
    return None if found else f"{implementation.name} lacks the argument {argument} of {command}"


def _schema(implementation: Implementation) -> Schema:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(implementation, Path(folder), Recorder(deadline_s=QUERY_TIMEOUT_S))
        try:
            machine.start([])
            schema = Schema(machine.execute("query-qmp-schema", {}).value)
            machine.quit()
        finally:
            machine.kill()
    return schema


_CHECKS: Mapping[str, Callable[[Implementation, str], str | None]] = {
    "zstd": _zstd,
    "nbd-server": _nbd_server,
    "tool": _tool,
    "driver": _driver,
    "command": _command,
    "argument": _argument,
}
_PLAIN = ("zstd", "nbd-server")
_KNOWN = ("zstd", "nbd-server", "tool:NAME", "driver:NAME", "command:NAME", "argument:COMMAND.NAME")
