"""Drained sections: nothing is in flight, guests' requests wait and then go on in their order."""

import asyncio

import pytest

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.debugging import find_debugger
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject
from tests.block.loop import run
from tests.block.memory import memory_drivers

DISK: JsonObject = {
    "driver": "raw",
    "node-name": "disk",
    "file": {"driver": "blkdebug", "node-name": "debug", "image": {"driver": "memory", "node-name": "memory"}},
}


async def guest_of(graph: Graph, tree: JsonObject = DISK) -> tuple[BlockBackend, Node]:
    node = await open_node(graph, tree)
    backend = BlockBackend(graph, "d", permissions=Permission.CONSISTENT_READ | Permission.WRITE)
    backend.insert(node)
    await node.unref()
    return backend, node


async def settle() -> None:
    """Give every task that can go on the chance to do so."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_requests_queue_while_drained_and_resume_in_order() -> None:
    async def story() -> list[int]:
        graph = Graph()
        guest, node = await guest_of(graph)
        done: list[int] = []

        async def write(number: int) -> None:
            await guest.pwrite(0, bytes([number]))
            done.append(number)

        async with node.drained():
            tasks = [asyncio.create_task(write(number)) for number in range(5)]
            await settle()
            assert done == []
            assert node.in_flight == 0
            await node.pwrite(0, b"x")
        await asyncio.gather(*tasks)
        assert await guest.pread(0, 1) == b"\4"
        await guest.close()
        return done

    with memory_drivers():
        assert run(story()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("where", ["disk", "debug", "memory", "all"])
def test_a_drained_section_waits_for_a_suspended_request(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def story() -> None:
        graph = Graph()
        guest, node = await guest_of(graph)
        debugger = find_debugger(node)
        assert debugger is not None
        debugger.breakpoint("write_aio", "here")
        write = asyncio.create_task(guest.pwrite(0, b"late"))
        await debugger.wait_until_suspended("here")
        entered: list[bytes] = []

        async def section() -> None:
            drained = graph.drained_all() if where == "all" else graph.nodes[where].drained()
            async with drained:
                assert all(node.in_flight == 0 for node in graph.nodes.values())
                entered.append(bytes(await node.pread(0, 4)))

        drain = asyncio.create_task(section())
        await settle()
        assert not entered
        debugger.resume("here")
        await drain
        assert entered == [b"late"]
        await write
        await guest.close()

    with memory_drivers():
        run(story())
    assert capsys.readouterr().out == "blkdebug: Suspended request 'here'\nblkdebug: Resuming request 'here'\n"


def test_nodes_opened_in_a_section_over_all_are_drained_too() -> None:
    async def story() -> None:
        graph = Graph()
        async with graph.drained_all():
            guest, node = await guest_of(graph)
            write = asyncio.create_task(guest.pwrite(0, b"x"))
            await settle()
            assert not write.done()
            assert node.drain_count
        assert all(node.drain_count == 0 for node in graph.nodes.values())
        assert guest.quiesced == 0
        await write
        await guest.close()
        assert graph.nodes == {}

    with memory_drivers():
        run(story())


def test_sections_nest_and_follow_an_edge_that_moves() -> None:
    async def story() -> None:
        graph = Graph()
        guest, node = await guest_of(graph)
        other = await open_node(graph, {"driver": "memory", "node-name": "other"})
        async with node.drained(), node.drained():
            assert guest.quiesced == 1
            graph.replace_node(node.ref(), other)
            assert guest.quiesced == 0
            await guest.pwrite(0, b"x")
            async with graph.drained_all():
                graph.replace_node(other, node)
                assert guest.quiesced == 1
            assert guest.quiesced == 1
        assert guest.quiesced == 0
        assert {name: node.drain_count for name, node in graph.nodes.items()} == dict.fromkeys(graph.nodes, 0)
        await node.unref()
        await other.unref()
        await guest.close()

    with memory_drivers():
        run(story())


def test_a_section_that_fails_lets_go() -> None:
    async def story() -> None:
        graph = Graph()
        guest, node = await guest_of(graph)
        with pytest.raises(BlockError):
            async with graph.drained_all(), node.drained():
                raise BlockError("no")
        await guest.pwrite(0, b"x")
        await guest.close()

    with memory_drivers():
        run(story())


def test_closing_waits_for_requests() -> None:
    async def story() -> bool:
        graph = Graph()
        guest, node = await guest_of(graph)
        debugger = find_debugger(node)
        assert debugger is not None
        debugger.breakpoint("read_aio", "held")
        read = asyncio.create_task(guest.pread(0, 1))
        await debugger.wait_until_suspended("held")
        close = asyncio.create_task(guest.close())
        await settle()
        waited = not close.done()
        debugger.remove_breakpoint("held")
        await close
        await read
        assert graph.nodes == {}
        return waited

    with memory_drivers():
        assert run(story())


def test_a_request_that_no_backend_made_is_waited_for() -> None:
    async def story() -> bool:
        node = await open_node(Graph(), DISK)
        debugger = find_debugger(node)
        assert debugger is not None
        debugger.breakpoint("read_aio", "held")
        read = asyncio.create_task(node.pread(0, 1))
        await debugger.wait_until_suspended("held")
        entered = asyncio.Event()

        async def section() -> None:
            async with node.drained():
                entered.set()

        drain = asyncio.create_task(section())
        await settle()
        waited = not entered.is_set()
        debugger.resume("held")
        await asyncio.gather(drain, read)
        await node.unref()
        return waited

    with memory_drivers():
        assert run(story())
