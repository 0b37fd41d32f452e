"""The command `transaction`, and the action `abort`, which has no command of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from backcheck_engine.jobs.transaction import AbortAction, run_transaction
from backcheck_engine.monitor import action_registry
from backcheck_engine.monitor.action_registry import transaction_action
from backcheck_engine.monitor.registry import NoArguments, command

if TYPE_CHECKING:
    from backcheck_engine.jobs.transaction import Action
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionArguments:
    """Arguments of `transaction`; each action is an object with `type` and `data`."""

    actions: list[JsonObject]
    properties: JsonObject | None = None


@command("transaction", TransactionArguments)
async def transaction(context: Context, arguments: TransactionArguments) -> JsonValue:
    """Do all actions, or none."""
    actions = [
        action_registry.maker(str(action["type"]))(context, cast("JsonObject", action["data"]))
        for action in arguments.actions
    ]
    grouped = (arguments.properties or {}).get("completion-mode") == "grouped"
    await run_transaction(context.graph, context.jobs, actions, grouped=grouped)
    return {}


@transaction_action("abort", NoArguments)
def abort_action(context: Context, arguments: NoArguments) -> Action:
    """Fail, so that all that came before is taken back."""
    return AbortAction()
