"""Which module handles which command, and the decorators that a handler is declared with.

A handler is a coroutine that gets the `Context` and its arguments, which the QAPI layer has validated and defaulted:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class BlockJobCancel:
        device: str
        force: bool = False

    @command("block-job-cancel", BlockJobCancel)
    async def block_job_cancel(context: Context, arguments: BlockJobCancel) -> JsonValue: ...

The fields are the command's members with `-` read as `_`; an optional member needs a default. A nested structure stays
a JSON object, an enum value its text. A command whose arguments are a union is declared with `tree_command` and gets
them as the client wrote them.

Families are imported when one of their commands first runs, so that starting the program does not pay for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context

ArgumentsT = TypeVar("ArgumentsT")
Handler: TypeAlias = "Callable[[Context, JsonObject], Awaitable[JsonValue]]"
TypedHandler: TypeAlias = "Callable[[Context, ArgumentsT], Awaitable[JsonValue]]"

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "backup": ("drive-backup", "blockdev-backup"),
    "transaction": ("transaction",),
    "snapshot": ("blockdev-snapshot", "blockdev-snapshot-sync"),
    "job": (
        "block-job-cancel",
        "block-job-change",
        "block-job-complete",
        "block-job-dismiss",
        "block-job-finalize",
        "block-job-pause",
        "block-job-resume",
        "block-job-set-speed",
        "job-cancel",
        "job-complete",
        "job-dismiss",
        "job-finalize",
        "job-pause",
        "job-resume",
        "query-block-jobs",
        "query-jobs",
    ),
    "bitmap": (
        "block-dirty-bitmap-add",
        "block-dirty-bitmap-clear",
        "block-dirty-bitmap-disable",
        "block-dirty-bitmap-enable",
        "block-dirty-bitmap-merge",
        "block-dirty-bitmap-remove",
        "x-debug-block-dirty-bitmap-sha256",
    ),
    "reopen": ("blockdev-reopen", "x-blockdev-reopen"),
    "block": ("blockdev-add", "blockdev-create", "blockdev-del", "block_resize"),
    "block_graph": ("x-debug-query-block-graph",),
    "block_query": ("query-block", "query-blockstats", "query-named-block-nodes"),
    "introspection": (
        "qmp_capabilities",
        "query-commands",
        "query-events",
        "query-name",
        "query-qmp-schema",
        "query-status",
        "query-uuid",
        "query-version",
    ),
    "export": (
        "block-export-add",
        "block-export-del",
        "nbd-server-add",
        "nbd-server-remove",
        "query-block-exports",
    ),
    "nbd_server": ("nbd-server-start", "nbd-server-stop"),
    "trace": ("trace-event-get-state", "trace-event-set-state"),
    "io_limits": ("block_set_io_throttle",),
    "object": ("object-add", "object-del"),
    "qom": ("qom-get", "qom-list", "qom-set"),
    "machine_control": ("cont", "quit", "stop", "system_powerdown", "system_reset", "system_wakeup"),
    "medium": ("blockdev-open-tray", "eject"),
    "plug": ("device_add",),
    "unplug": ("device_del",),
    "io_thread": ("query-iothreads", "x-blockdev-set-iothread"),
    "hmp": ("human-monitor-command",),
}

MODULE_OF: Final[dict[str, str]] = {name: module for module, names in FAMILIES.items() for name in names}


_FOLLOWED_BY: Final[dict[str, tuple[str, ...]]] = {
    "bitmap": ("backcheck_engine.monitor.backup", "backcheck_engine.drivers.filter.backup_filter", "ctypes"),
}
"""Modules that are likely to be needed after the first command of a family."""
_QUIET_S: Final = 0.02
"""After a first command and between those modules, so that other commands need not wait for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoArguments:
    """The arguments of a command that takes none."""


_handlers: dict[str, Handler] = {}


def command(name: str, arguments: type[ArgumentsT]) -> Callable[[TypedHandler[ArgumentsT]], TypedHandler[ArgumentsT]]:
    """Declare the handler of command `name`, which gets its arguments as an instance of `arguments`."""

    def declare(handler: TypedHandler[ArgumentsT]) -> TypedHandler[ArgumentsT]:
        def call(context: Context, members: JsonObject) -> Awaitable[JsonValue]:
            return handler(context, arguments(**{key.replace("-", "_"): value for key, value in members.items()}))

        _add(name, call)
        return handler

    return declare


def tree_command(name: str) -> Callable[[Handler], Handler]:
    """Declare the handler of command `name`, which gets its validated arguments as a JSON object."""

    def declare(handler: Handler) -> Handler:
        _add(name, handler)
        return handler

    return declare


def _add(name: str, handler: Handler) -> None:
    if name not in MODULE_OF:
        raise LookupError(f"command {name!r} is in no family of monitor/registry.py")
    _handlers[name] = handler


def names() -> tuple[str, ...]:
    """The commands that the engine has, in any release."""
    return tuple(MODULE_OF)


def handler(name: str) -> Handler:
    """The handler of a command of `names()`; imports its family when it is the first of it."""
    if name not in _handlers:
        importlib.import_module(f"backcheck_engine.monitor.{MODULE_OF[name]}")
        _look_ahead(MODULE_OF[name])
    return _handlers[name]


def _look_ahead(family: str) -> None:
    """Import what usually comes next while nobody waits for it. Without a loop there is no such moment."""
    with contextlib.suppress(RuntimeError):
        loop = asyncio.get_running_loop()
        for position, module in enumerate(_FOLLOWED_BY.get(family, ()), 1):
            loop.call_later(position * _QUIET_S, importlib.import_module, module)
