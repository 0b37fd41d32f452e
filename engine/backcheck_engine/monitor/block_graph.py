"""The command `x-debug-query-block-graph`: every user, job and node as a vertex, every use as an edge.

Vertices are numbered as they are first come across: users, then jobs, then nodes, each followed by what it uses. The
lists are the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.permissions import QAPI_NAMES, Permission
from backcheck_engine.jobs.block_job import BlockJob
from backcheck_engine.monitor.registry import NoArguments, command
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.block.child import Child
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context

_GRAPH_MOD: Final = "graph-mod"


@command("x-debug-query-block-graph", NoArguments)
async def x_debug_query_block_graph(context: Context, arguments: NoArguments) -> JsonValue:
    picture = _Picture(has_graph_mod=context.release < QEMU_7_2)
    for backend in _backends(context.graph):
        root = () if backend.root is None else (backend.root,)
        picture.add(backend, "block-backend", backend.name or backend.attached_device, root)
    jobs = [job for job in context.jobs if isinstance(job, BlockJob)]
    if context.release < QEMU_7_2:
        for job in reversed(jobs):
            # A job had a user of its own then, beside its other uses.
            picture.add(f"user of {job.id}", "block-backend", "", job.edges[:1], shown_name="root")
    for job in jobs:
        picture.add(job, "block-job", job.id, reversed(job.edges))
    for node in context.graph.nodes.values():
        picture.add(node, "block-driver", node.node_name, reversed(node.children.values()))
    return picture.shown()


def _backends(graph: Graph) -> Iterator[BlockBackend]:
    """Those with a name, then those without, in the order in which they are found."""
    yield from graph.backends.values()
    unnamed: dict[BlockBackend, None] = {}
    for node in graph.nodes.values():
        for parent in reversed(node.parents):
            if isinstance(parent.owner, BlockBackend) and not parent.owner.name:
                unnamed[parent.owner] = None
    yield from unnamed


class _Picture:
    """XDbgBlockGraph while it is drawn."""

    def __init__(self, *, has_graph_mod: bool) -> None:
        self._nodes: Final[list[JsonValue]] = []
        self._edges: Final[list[JsonValue]] = []
        self._numbers: Final[dict[object, int]] = {}
        self._has_graph_mod: Final = has_graph_mod
        """In 5.2 there was a permission that everybody shared and nobody took."""

    def add(
        self, vertex: object, kind: str, name: str, edges: Iterable[Child], *, shown_name: str | None = None
    ) -> None:
        """A vertex with the edges that go out from it."""
        number = self._number(vertex)
        self._nodes.append({"id": number, "type": kind, "name": name})
        for edge in edges:
            shared = [_GRAPH_MOD] if self._has_graph_mod else []
            self._edges.append(
                {
                    "parent": number,
                    "child": self._number(edge.node),
                    "name": shown_name or edge.name,
                    "perm": _names(edge.permissions),
                    "shared-perm": [*shared, *_names(edge.shared)],
                }
            )

    def shown(self) -> JsonObject:
        """All of it."""
        return {"nodes": self._nodes[::-1], "edges": self._edges[::-1]}

    def _number(self, vertex: object) -> int:
        return self._numbers.setdefault(vertex, len(self._numbers) + 1)


def _names(permissions: Permission) -> list[JsonValue]:
    """As QAPI calls them, the last one first."""
    return [name for permission, name in reversed(QAPI_NAMES.items()) if permission in permissions]
