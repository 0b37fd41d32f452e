"""What a build can do, asked of its programs: the reasons why a case that needs it does not run there."""

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from backcheck.errors import UsageError
from backcheck.implementation import Implementation
from backcheck.json_types import JsonObject, JsonValue
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
    with tempfile.TemporaryDirectory() as folder:
        answer = implementation.img("--help", cwd=Path(folder))
    listed = re.search(r"^Supported formats:(?P<names>(?:.*\n)(?:[ \t]+.*\n)*)", answer.stdout, re.MULTILINE)
    if listed is not None and name in listed["names"].split():
        return None
    return f"{implementation.name} lacks the driver {name}"


def _command(implementation: Implementation, name: str) -> str | None:
    if name in _commands(implementation):
        return None
    return f"{implementation.name} lacks the command {name}"


def _argument(implementation: Implementation, name: str) -> str | None:
    command, _, argument = name.rpartition(".")
    members = _commands(implementation).get(command, frozenset())
    return None if argument in members else f"{implementation.name} lacks the argument {argument} of {command}"


def _commands(implementation: Implementation) -> Mapping[str, frozenset[str]]:
    """Commands and the names of their arguments, from query-qmp-schema."""
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(implementation, Path(folder), Recorder(deadline_s=QUERY_TIMEOUT_S))
        try:
            machine.start([])
            schema = cast(Sequence[JsonObject], machine.execute("query-qmp-schema", {}).value)
            machine.quit()
        finally:
            machine.kill()
    by_name = {str(entity["name"]): entity for entity in schema}
    return {
        name: frozenset(_member_names(by_name.get(str(entity["arg-type"]), {}).get("members", [])))
        for name, entity in by_name.items()
        if entity["meta-type"] == "command"
    }


def _member_names(members: JsonValue) -> list[str]:
    return [str(member["name"]) for member in cast(Sequence[JsonObject], members)]


_CHECKS: Mapping[str, Callable[[Implementation, str], str | None]] = {
    "zstd": _zstd,
    "driver": _driver,
    "command": _command,
    "argument": _argument,
}
_PLAIN = ("zstd",)
_KNOWN = ("zstd", "driver:NAME", "command:NAME", "argument:COMMAND.NAME")
