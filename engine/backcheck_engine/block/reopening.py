"""Reopening nodes: other options, another file or backing, or read-only; all of it happens, or nothing.

A node that somebody named by its node-name has a life of its own, and is not reopened with its parent. Which nodes it
is about, and with which options, is in `reopen_queue`.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.child import Child, ChildRole
from backcheck_engine.block.graph_change import GraphChange, parents_first
from backcheck_engine.block.reopen_queue import ReopenEntry, Settings, begin_options, check_reopenable, refuse_changes
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from collections.abc import Callable

    from backcheck_engine.block.node import Node


@dataclass(slots=True, kw_only=True, eq=False)
class _Prepared:
    """What is known of one node before anything changes."""

    entry: ReopenEntry
    new_children: dict[str, Node | None] = field(default_factory=dict)
    """By the edge's name: the node that is to be there, or none."""
    put_in_force: Callable[[], None]
    """What the driver does in the end."""

    @property
    def becomes_read_only(self) -> bool:
        return self.entry.node.is_writable and self.entry.settings.read_only

    @property
    def becomes_writable(self) -> bool:
        return self.entry.node.read_only and not self.entry.settings.read_only


async def reopen(entries: Sequence[ReopenEntry]) -> None:
    """Reopen the nodes of a queue. Raises EngineError in QEMU's words, with nothing changed."""
    async with AsyncExitStack() as drained:
        for entry in entries:
            await drained.enter_async_context(entry.node.drained())
        for entry in entries:
            try:
                await entry.node.flush()
            except BlockError as error:
                raise error.prefixed("Error flushing drive: ") from error
        prepared = [await _prepare(entry) for entry in entries]
        writable = [one.entry.node for one in prepared if one.becomes_writable]
        old_children = await _change(prepared)
        for one in reversed(prepared):
            one.put_in_force()
            _settle(one.entry)
        for node in reversed(writable):
            await node.driver.stay_writable()
    for node in old_children:
        await node.unref()


async def make_read_only(node: Node) -> None:
    """Make `node` read-only, with the nodes below it that were opened for it.

    Raises BlockError, with nothing changed, while somebody still writes to one of them, or when one cannot be reopened.
    """
    nodes = [one for one in _with_inheritors(node) if one.is_writable]
    for one in nodes:
        check_reopenable(one)
    for one in nodes:
        await one.flush()
    entries = []
    for one in nodes:
        settings = Settings.of(one)
        settings.read_only = True
        entries.append(ReopenEntry(node=one, given={}, settings=settings, told={}, is_backing_missing=False))
    await _change([_Prepared(entry=entry, put_in_force=lambda: None) for entry in entries])


# Before anything changes.


async def _prepare(entry: ReopenEntry) -> _Prepared:
    """Look at all options of one node. Raises EngineError in QEMU's order."""
    node = entry.node
    begin_options(entry)
    if node.copies_on_read and entry.settings.read_only:
        raise BlockError(f"Can't set node '{node.device_or_node_name}' to r/o with copy-on-read enabled", errno.EINVAL)
    put_in_force = await node.driver.prepare_reopen(entry.rest, entry.settings.discard)
    if node.driver.supports_backing and entry.is_backing_missing and (node.backing or node.backing_file):
        raise BlockError(f"backing is missing for '{node.node_name}'", errno.EINVAL)
    prepared = _Prepared(entry=entry, put_in_force=put_in_force)
    for name in ("backing",) if release.current() < release.QEMU_7_2 else ("backing", "file"):
        _choose_child(prepared, name)
    refuse_changes(entry)
    return prepared


def _choose_child(prepared: _Prepared, name: str) -> None:
    """Note which node the options want at the edge `name`, if it is another. Raises BlockError."""
    node, rest = prepared.entry.node, prepared.entry.rest
    if rest.take_null(name):
        wanted = None
    elif (reference := rest.take_text(name)) is not None:
        wanted = node.graph.find(None, reference)
    else:
        return
    current = node.child_node(name)
    if wanted is current:
        return
    if node.is_filter and current is None:
        raise BlockError(
            f"'{node.node_name}' is a {node.format_name} filter node that does not support a {name} child",
            errno.EINVAL,
        )
    if name == "backing" and not node.is_filter and not node.driver.supports_backing:
        raise BlockError(
            f"Driver '{node.format_name}' of node '{node.node_name}' does not support backing files", errno.EINVAL
        )
    prepared.new_children[name] = wanted


# The change.


async def _change(prepared: Sequence[_Prepared]) -> list[Node]:
    """Everything that others see, or nothing; the children that nobody holds any more are for the caller to let go."""
    stopping: list[Node] = []
    try:
        for one in prepared:
            if one.becomes_read_only:
                await one.entry.node.driver.become_read_only()
                stopping.append(one.entry.node)
        return _change_graph(prepared)
    except BlockError:
        for node in reversed(stopping):
            await node.driver.stay_writable()
        raise


def _change_graph(prepared: Sequence[_Prepared]) -> list[Node]:
    old_children: list[Node] = []
    new_children: list[Node] = []
    with GraphChange() as change:
        for one in prepared:
            change.set_settings(one.entry.node, one.entry.settings)
        for one in prepared:
            for name, wanted in one.new_children.items():
                old = _replace_child(change, one.entry.node, name, wanted)
                old_children += [old] if old is not None else []
                new_children += [wanted] if wanted is not None else []
        change.refresh([*(one.entry.node for one in prepared), *old_children])
    for node in new_children:
        node.ref()
    return old_children


def _replace_child(change: GraphChange, node: Node, name: str, wanted: Node | None) -> Node | None:
    """Let the edge `name` lead to `wanted`, or nowhere; where it led. Raises BlockError."""
    if wanted is not None and node in parents_first([wanted]):
        what = "file" if release.current() < release.QEMU_7_2 else "child"
        raise BlockError(
            f"Making '{wanted.node_name}' a {name} {what} of '{node.node_name}' would create a cycle", errno.EINVAL
        )
    old = node.children.get(name)
    if old is not None and old.frozen:
        raise BlockError(
            f"Cannot change frozen '{name}' link from '{node.node_name}' to '{old.node.node_name}'", errno.EPERM
        )
    role = old.role if old is not None else ChildRole.COW
    if old is not None:
        change.detach(old)
    if wanted is not None:
        child = Child(name, wanted, owner=node, role=role)
        child.permissions, child.shared = node.permissions_on(child, *node.cumulative_permissions())
        change.attach(child)
    return old.node if old is not None else None


def _settle(entry: ReopenEntry) -> None:
    """The node goes on with its new options."""
    node = entry.node
    node.options = {key: value for key, value in entry.given.items() if key not in node.children and key != "backing"}
    node.refresh_limits()
    node.refresh_size()
    node.bitmaps.resize(node.cached_size)


def _with_inheritors(node: Node) -> list[Node]:
    """The node and those below it that took their options over from it."""
    found = [node]
    for child in node.children.values():
        if child.node.inherits_from is node:
            found += _with_inheritors(child.node)
    return found
