"""The block queries: devices, nodes, and what they have done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.monitor.block_facts import block_info, device_info
from backcheck_engine.monitor.block_statistics import device_statistics, node_statistics
from backcheck_engine.monitor.registry import command

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend
    from backcheck_engine.devices.guest_device import GuestDevice
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """Arguments of `query-block` and `query-named-block-nodes`."""

    flat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryBlockstats:
    """Arguments of `query-blockstats`."""

    query_nodes: bool = False


@command("query-block", Flat)
async def query_block(context: Context, arguments: Flat) -> JsonValue:
    return [*block_devices(context, flat=arguments.flat)]


@command("query-named-block-nodes", Flat)
async def query_named_block_nodes(context: Context, arguments: Flat) -> JsonValue:
    return [*named_nodes(context, flat=arguments.flat)]


@command("query-blockstats", QueryBlockstats)
async def query_blockstats(context: Context, arguments: QueryBlockstats) -> JsonValue:
    if arguments.query_nodes:
        return [node_statistics(node, context.release) for node in context.graph.nodes.values()]
    return [device_statistics(backend, guest, context.release) for backend, guest in devices(context)]


def devices(context: Context) -> Iterator[tuple[BlockBackend, GuestDevice | None]]:
    """Each device's backend, with the guest's device that uses it: drives, then devices on nodes."""
    guests = {id(guest.backend): guest for guest in context.guests}
    for backend in context.graph.backends.values():
        yield backend, guests.pop(id(backend), None)
    for guest in guests.values():
        yield guest.backend, guest


def block_devices(context: Context, *, flat: bool = False) -> Iterator[JsonObject]:
    """BlockInfo of each device."""
    for backend, guest in devices(context):
        yield block_info(backend, guest, context, flat=flat)


def named_nodes(context: Context, *, flat: bool = False) -> Iterator[JsonObject]:
    """BlockDeviceInfo of each node, the newest first."""
    for node in reversed(context.graph.nodes.values()):
        yield device_info(node, context.release, flat=flat)
