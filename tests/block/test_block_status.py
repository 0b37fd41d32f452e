"""Block status through overlays that are longer or shorter than their backings."""

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.json_value import JsonObject
from tests.block.loop import run
from tests.block.memory import CLUSTER, memory_drivers

BASE: JsonObject = {"driver": "memory", "node-name": "base", "size": 2 * CLUSTER}
MIDDLE: JsonObject = {"driver": "overlay", "node-name": "middle", "size": 4 * CLUSTER, "backing": BASE}
TOP: JsonObject = {"driver": "overlay", "node-name": "top", "size": 8 * CLUSTER, "backing": MIDDLE}

Seen = list[tuple[int, bool, bool, bool, bool]]
"""(length in clusters, data, zero, allocated, end of image) of each run."""


async def walk(top: Node, base: Node | None, *, above: bool, include_base: bool = False) -> Seen:
    seen: Seen = []
    offset = 0
    while offset < top.size:
        if above:
            status = await top.block_status_above(base, offset, top.size - offset, include_base=include_base)
        else:
            status = await top.block_status(offset, top.size - offset)
        seen.append((status.length // CLUSTER, status.data, status.zero, status.allocated, status.eof))
        offset += status.length
    return seen


@pytest.fixture
def story_of_three() -> object:
    """Cluster 0 is written in the top, 3 in the middle; the base has 0 and 1."""

    async def story() -> dict[str, Seen]:
        graph = Graph()
        top = await open_node(graph, TOP)
        await top.pwrite(0, b"x" * CLUSTER)
        middle, base = graph.nodes["middle"], graph.nodes["base"]
        middle.read_only = False
        await middle.pwrite(3 * CLUSTER, b"y" * CLUSTER)
        seen = {
            "top": await walk(top, None, above=False),
            "middle": await walk(middle, None, above=False),
            "all": await walk(top, None, above=True),
            "above base": await walk(top, base, above=True),
            "with middle": await walk(top, middle, above=True, include_base=True),
            "nothing": await walk(top, top, above=True),
        }
        await top.unref()
        return seen

    with memory_drivers():
        return run(story())


DATA, ZERO, ALLOCATED, END = True, True, True, True
NO = False

EXPECTED: dict[str, Seen] = {
    "top": [
        (1, DATA, NO, ALLOCATED, NO),
        *[(1, NO, NO, NO, NO)] * 3,
        # Beyond the middle's end there is nothing to show but zeroes.
        *[(1, NO, ZERO, NO, NO)] * 3,
        (1, NO, ZERO, NO, END),
    ],
    "middle": [(1, NO, NO, NO, NO), (1, NO, NO, NO, NO), (1, NO, ZERO, NO, NO), (1, DATA, NO, ALLOCATED, END)],
    "all": [
        (1, DATA, NO, ALLOCATED, NO),
        (1, DATA, NO, ALLOCATED, NO),
        # The middle defers to a base that is too short: zeroes, as if allocated there.
        (1, NO, ZERO, ALLOCATED, NO),
        (1, DATA, NO, ALLOCATED, NO),
        *[(1, NO, ZERO, ALLOCATED, NO)] * 3,
        (1, NO, ZERO, ALLOCATED, END),
    ],
    "above base": [
        (1, DATA, NO, ALLOCATED, NO),
        (1, NO, NO, NO, NO),
        (1, NO, ZERO, NO, NO),
        (1, DATA, NO, ALLOCATED, NO),
        *[(1, NO, ZERO, ALLOCATED, NO)] * 3,
        (1, NO, ZERO, ALLOCATED, END),
    ],
    "with middle": [
        (1, DATA, NO, ALLOCATED, NO),
        (1, NO, NO, NO, NO),
        (1, NO, ZERO, NO, NO),
        (1, DATA, NO, ALLOCATED, NO),
        *[(1, NO, ZERO, ALLOCATED, NO)] * 3,
        (1, NO, ZERO, ALLOCATED, END),
    ],
    "nothing": [(8, NO, NO, NO, NO)],
}


@pytest.mark.parametrize("chain", EXPECTED)
def test_whose_data_a_range_is(chain: str, story_of_three: dict[str, Seen]) -> None:
    assert story_of_three[chain] == EXPECTED[chain]


def test_beyond_the_end_there_is_nothing() -> None:
    async def story() -> list[tuple[int, bool]]:
        node = await open_node(Graph(), BASE)
        answers = [await node.block_status(offset, 512) for offset in (2 * CLUSTER, 3 * CLUSTER, 2 * CLUSTER - 1)]
        await node.unref()
        return [(answer.length, answer.eof) for answer in answers]

    with memory_drivers():
        assert run(story()) == [(0, True), (0, True), (1, True)]


def test_is_allocated() -> None:
    async def story() -> list[tuple[bool, int]]:
        graph = Graph()
        top = await open_node(graph, TOP)
        await top.pwrite(CLUSTER, b"x")
        middle = graph.nodes["middle"]
        answers = [
            await top.is_allocated(0, 8 * CLUSTER),
            await top.is_allocated(CLUSTER, 8 * CLUSTER),
            await top.is_allocated_above(middle, False, 0, CLUSTER),
            await top.is_allocated_above(None, False, 0, CLUSTER),
        ]
        await top.unref()
        return answers

    with memory_drivers():
        assert run(story()) == [(False, CLUSTER), (True, CLUSTER), (False, CLUSTER), (True, CLUSTER)]
