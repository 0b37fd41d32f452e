"""What a build can do, asked of its programs: the reasons why a case that needs it does not run there."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from backcheck.errors import UsageError
from backcheck.implementation import Implementation
from backcheck.json_types import JsonObject
from backcheck.recorder import Recorder
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


def _driver(implementation: Implementation, name: str) -> str | None:
    schema = _schema(implementation)
    options = schema[str(schema["blockdev-add"]["arg-type"])]
    driver = next(member for member in cast(Sequence[JsonObject], options["members"]) if member["name"] == "driver")
    known = cast(Sequence[str], schema[str(driver["type"])]["values"])
    return None if name in known else f"{implementation.name} lacks the driver {name}"


def _command(implementation: Implementation, name: str) -> str | None:
    entity = _schema(implementation).get(name, {})
    return None if entity.get("meta-type") == "command" else f"{implementation.name} lacks the command {name}"


def _argument(implementation: Implementation, name: str) -> str | None:
    command, _, argument = name.rpartition(".")
    schema = _schema(implementation)
    arguments = schema.get(str(schema.get(command, {}).get("arg-type")), {})
    names = [member["name"] for member in cast(Sequence[JsonObject], arguments.get("members", []))]
    return None if argument in names else f"{implementation.name} lacks the argument {argument} of {command}"


def _schema(implementation: Implementation) -> Mapping[str, JsonObject]:
    """Everything query-qmp-schema tells, by name."""
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(implementation, Path(folder), Recorder(deadline_s=QUERY_TIMEOUT_S))
        try:
            machine.start([])
            entities = cast(Sequence[JsonObject], machine.execute("query-qmp-schema", {}).value)
            machine.quit()
        finally:
            machine.kill()
    return {str(entity["name"]): entity for entity in entities}


_CHECKS: Mapping[str, Callable[[Implementation, str], str | None]] = {
    "zstd": _zstd,
    "driver": _driver,
    "command": _command,
    "argument": _argument,
}
_PLAIN = ("zstd",)
_KNOWN = ("zstd", "driver:NAME", "command:NAME", "argument:COMMAND.NAME")
