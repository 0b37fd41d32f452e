"""Which module makes which action of a transaction, and the decorator that its maker is declared with.

A maker gets the `Context` and the action's `data`, validated and defaulted as the arguments of a command are, and gives
the `Action`, which has not looked at anything yet:

    @transaction_action("block-dirty-bitmap-clear", BitmapReference)
    def clear_action(context: Context, arguments: BitmapReference) -> Action:
        return BitmapClearAction(context.graph, arguments)

A command that is a transaction of one action runs it with `perform`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from backcheck_engine.jobs.transaction import run_transaction
from backcheck_engine.monitor.registry import ArgumentsT

if TYPE_CHECKING:
    from backcheck_engine.jobs.transaction import Action
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.context import Context

Maker: TypeAlias = "Callable[[Context, JsonObject], Action]"
TypedMaker: TypeAlias = "Callable[[Context, ArgumentsT], Action]"

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "transaction": ("abort",),
    "backup": ("drive-backup", "blockdev-backup"),
    "bitmap": (
        "block-dirty-bitmap-add",
        "block-dirty-bitmap-remove",
        "block-dirty-bitmap-clear",
        "block-dirty-bitmap-enable",
        "block-dirty-bitmap-disable",
        "block-dirty-bitmap-merge",
    ),
    "snapshot": ("blockdev-snapshot", "blockdev-snapshot-sync", "blockdev-snapshot-internal-sync"),
}

MODULE_OF: Final[dict[str, str]] = {name: module for module, names in FAMILIES.items() for name in names}

_makers: dict[str, Maker] = {}


def transaction_action(
    name: str, arguments: type[ArgumentsT]
) -> Callable[[TypedMaker[ArgumentsT]], TypedMaker[ArgumentsT]]:
    """Declare who makes the action `name`, with its data as an instance of `arguments`."""
    if name not in MODULE_OF:
        raise LookupError(f"action {name!r} is in no family of monitor/action_registry.py")

    def declare(maker: TypedMaker[ArgumentsT]) -> TypedMaker[ArgumentsT]:
        def make(context: Context, members: JsonObject) -> Action:
            return maker(context, arguments(**{key.replace("-", "_"): value for key, value in members.items()}))

        _makers[name] = make
        return maker

    return declare


def maker(name: str) -> Maker:
    """Who makes an action that the schema knows; imports its family when it is the first of it."""
    if name not in _makers:
        importlib.import_module(f"backcheck_engine.monitor.{MODULE_OF[name]}")
    return _makers[name]


async def perform(context: Context, action: Action) -> None:
    """A command that is a transaction of one action. Raises EngineError."""
    await run_transaction(context.graph, context.jobs, [action])
