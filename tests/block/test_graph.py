"""Changes of the graph: permissions, names, references, blockers; a refused change changes nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from backcheck_engine import release
from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.blockers import Blocker, Operation
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject
from tests.block.loop import run
from tests.block.memory import memory_drivers

READ, WRITE, RESIZE = Permission.CONSISTENT_READ, Permission.WRITE, Permission.RESIZE
ALL = Permission.ALL


@asynccontextmanager
async def opened(graph: Graph, *trees: JsonObject) -> AsyncIterator[list[Node]]:
    """The nodes of `trees`, which may refer to earlier ones."""
    with memory_drivers():
        nodes = [await open_node(graph, tree) for tree in trees]
        try:
            yield nodes
        finally:
            for node in reversed(nodes):
                await node.unref()
            assert graph.nodes == {}


def memory(name: str, **options: bool | str) -> JsonObject:
    return {"driver": "memory", "node-name": name, **options}


def users_of(node: Node) -> list[tuple[str, Permission, Permission]]:
    return [(parent.owner.describe(), parent.permissions, parent.shared) for parent in node.parents]


def test_a_conflict_is_told_in_qemus_words() -> None:
    async def story() -> tuple[str, str]:
        graph = Graph()
        async with opened(graph, memory("src")) as [node]:
            device = BlockBackend(graph, "drive0", permissions=READ | WRITE, shared=READ)
            device.insert(node)
            other = BlockBackend(graph, permissions=READ | WRITE)
            with pytest.raises(BlockError) as taking:
                other.insert(node)
            reader = BlockBackend(graph, permissions=READ, shared=ALL)
            reader.insert(node)
            device.set_permissions(READ | WRITE | RESIZE, READ)
            with pytest.raises(BlockError) as sharing:
                reader.set_permissions(READ, READ)
            await reader.close()
            await device.close()
            return taking.value.message, sharing.value.message

    assert run(story()) == (
        "Permission conflict on node 'src': permissions 'write' are both required by an unnamed block device "
        "(uses node 'src' as 'root' child) and unshared by block device 'drive0' (uses node 'src' as 'root' child).",
        "Permission conflict on node 'src': permissions 'write, resize' are both required by block device 'drive0' "
        "(uses node 'src' as 'root' child) and unshared by an unnamed block device (uses node 'src' as 'root' child).",
    )


def test_5_2_told_it_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "current", lambda: release.QEMU_5_2)

    async def story() -> tuple[str, str]:
        graph = Graph()
        async with opened(graph, memory("src")) as [node]:
            device = BlockBackend(graph, "drive0", permissions=READ | WRITE, shared=READ)
            device.insert(node)
            with pytest.raises(BlockError) as taking:
                BlockBackend(graph, permissions=READ | WRITE).insert(node)
            with pytest.raises(BlockError) as sharing:
                BlockBackend(graph, permissions=READ, shared=READ).insert(node)
            await device.close()
            return taking.value.message, sharing.value.message

    assert run(story()) == (
        "Conflicts with use by drive0 as 'root', which does not allow 'write' on src",
        "Conflicts with use by drive0 as 'root', which uses 'write' on src",
    )


def test_a_refused_change_leaves_every_edge_as_it_was() -> None:
    """The conflict lies two nodes down, when the upper edges have already been prepared."""

    async def story() -> None:
        graph = Graph()
        trees: list[JsonObject] = [
            memory("base"),
            {"driver": "raw", "node-name": "middle", "file": "base"},
            {"driver": "raw", "node-name": "top", "file": "middle"},
        ]
        async with opened(graph, *trees) as [base, middle, top]:
            device = BlockBackend(graph, "d", permissions=READ)
            device.insert(top)
            guard = BlockBackend(graph, permissions=READ, shared=READ)
            guard.insert(base)
            before = [users_of(node) for node in (base, middle, top)]
            with pytest.raises(BlockError, match=r"node 'base'.*required by node 'middle'.*as 'file' child"):
                device.set_permissions(READ | WRITE, ALL)
            assert [users_of(node) for node in (base, middle, top)] == before
            await guard.close()
            device.set_permissions(READ | WRITE, ALL)
            assert users_of(base) == [("node 'middle'", READ | WRITE, ALL)]
            await device.close()
            assert users_of(base) == [("node 'middle'", Permission.NONE, ALL)]

    run(story())


def test_a_format_keeps_others_from_its_file() -> None:
    async def story() -> None:
        graph = Graph()
        window: JsonObject = {"driver": "raw", "node-name": "window", "size": 1024, "file": "base"}
        async with opened(graph, memory("base"), window) as [base, top]:
            assert users_of(base) == [("node 'window'", Permission.NONE, ALL & ~RESIZE)]
            device = BlockBackend(graph, permissions=READ | WRITE)
            device.insert(top)
            assert users_of(base) == [("node 'window'", READ | WRITE, ALL & ~RESIZE)]
            await device.close()

    run(story())


def test_an_overlay_only_reads_its_backing_and_blocks_it() -> None:
    async def story() -> list[str | None]:
        graph = Graph()
        overlay: JsonObject = {"driver": "overlay", "node-name": "over", "size": 1024, "backing": "base"}
        async with opened(graph, memory("base"), overlay) as [base, over]:
            device = BlockBackend(graph, permissions=READ | WRITE, shared=READ)
            device.insert(over)
            assert users_of(base) == [("node 'over'", READ, READ | Permission.WRITE_UNCHANGED)]
            await device.close()
            with pytest.raises(BlockError, match=r"^Node 'base' is busy: node is used as backing hd of 'over'$"):
                base.blockers.check(Operation.RESIZE, base.device_or_node_name)
            return [base.blockers.reason(Operation.BACKUP_SOURCE), over.blockers.reason(Operation.RESIZE)]

    assert run(story()) == [None, None]


def test_the_newest_blocker_gives_the_reason() -> None:
    async def story() -> list[str | None]:
        async with opened(Graph(), memory("n")) as [node]:
            first, second = Blocker(reason="one"), Blocker(reason="two")
            node.blockers.block_all(first, but={Operation.DATAPLANE})
            node.blockers.block(Operation.RESIZE, second)
            reasons = [node.blockers.reason(operation) for operation in (Operation.RESIZE, Operation.DATAPLANE)]
            node.blockers.unblock_all(second)
            reasons.append(node.blockers.reason(Operation.RESIZE))
            node.blockers.unblock_all(first)
            assert node.blockers.is_empty()
            return reasons

    assert run(story()) == ["two", None, "one"]


def test_a_filter_goes_in_above_a_node_and_out_again() -> None:
    async def story() -> None:
        graph = Graph()
        async with opened(graph, memory("base"), memory("other")) as [base, _]:
            device = BlockBackend(graph, "d", permissions=READ | WRITE)
            device.insert(base)
            job = BlockBackend(graph, permissions=READ)
            job.insert(base)
            assert job.root is not None
            job.root.stays_at_node = True
            above = await open_node(graph, {"driver": "blkdebug", "node-name": "filter", "image": "base"})
            graph.replace_node(base, above)
            assert device.node is above
            assert job.node is base
            await device.pwrite(0, b"seen")
            assert await job.pread(0, 4) == b"seen"
            assert users_of(base)[0][0] == "node 'filter'"
            graph.replace_node(above, base)
            assert device.node is base
            await above.unref()
            assert list(graph.nodes) == ["base", "other"]
            await device.close()
            await job.close()

    run(story())


def test_a_replacement_that_conflicts_changes_nothing() -> None:
    async def story() -> None:
        graph = Graph()
        async with opened(graph, memory("base"), memory("other", **{"read-only": True})) as [base, other]:
            device = BlockBackend(graph, "d", permissions=READ | WRITE)
            device.insert(base)
            with pytest.raises(BlockError, match=r"^Block node is read-only$"):
                graph.replace_node(base, other)
            assert device.node is base
            assert other.parents == []
            await device.close()

    run(story())


def test_nodes_live_as_long_as_somebody_uses_them() -> None:
    async def story() -> list[list[str]]:
        graph = Graph()
        with memory_drivers():
            base = await open_node(graph, memory("base"))
            top = await open_node(graph, {"driver": "raw", "node-name": "top", "file": "base"})
            device = BlockBackend(graph, "d")
            device.insert(top)
            seen = [list(graph.nodes)]
            await base.unref()
            await top.unref()
            seen.append(list(graph.nodes))
            await device.remove()
            seen.append(list(graph.nodes))
            await device.close()
            return seen

    assert run(story()) == [["base", "top"], ["base", "top"], []]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("1x", "Invalid node-name: '1x'"),
        ("", "Invalid node-name: ''"),
        ("#block1", "Invalid node-name: '#block1'"),
        ("taken", "Duplicate nodes with node-name='taken'"),
        ("drive0", "node-name=drive0 is conflicting with a device id"),
        ("x" * 32, "Node name too long"),
    ],
)
def test_bad_node_names(name: str, text: str) -> None:
    async def story() -> str:
        graph = Graph()
        device = BlockBackend(graph, "drive0")
        async with opened(graph, memory("taken")):
            with pytest.raises(BlockError) as caught:
                await open_node(graph, memory(name))
            await device.close()
            return caught.value.message

    assert run(story()) == text


def test_finding_by_device_or_node_name() -> None:
    async def story() -> list[str]:
        graph = Graph()
        empty = BlockBackend(graph, "empty0")
        async with opened(graph, memory("n")) as [node]:
            device = BlockBackend(graph, "d0")
            device.insert(node)
            assert graph.find_device_or_node("d0") is graph.find_device_or_node("n") is node
            assert node.device_or_node_name == "d0"
            texts = []
            for name in ("empty0", "nosuch", ""):
                with pytest.raises(BlockError) as caught:
                    graph.find_device_or_node(name)
                texts.append(caught.value.message)
            await device.close()
            await empty.close()
            return texts

    assert run(story()) == [
        "Device 'empty0' has no medium",
        "Cannot find device='nosuch' nor node-name='nosuch'",
        "Cannot find device='' nor node-name=''",
    ]
