"""Separate ranges copied from file to file: what arrives, and what is left to be copied one by one."""

import errno
import os
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.request import Range
from tests.block.loop import run

UNIT = 64 * 1024
PLACES: list[Range] = [(5 * UNIT, UNIT), (0, UNIT), (3 * UNIT, 512), (4 * UNIT, UNIT)]
RANGES: list[Range] = [(0, UNIT), (UNIT, UNIT), (4 * UNIT, 512), (6 * UNIT, UNIT)]


def refuse(code: int) -> object:
    def sendfile(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    return sendfile


async def two_files(folder: Path, source: bytes, **target_options: str) -> tuple[Node, Node]:
    graph = Graph()
    (folder / "source").write_bytes(source)
    (folder / "target").write_bytes(b"")
    options = {"driver": "file", "locking": "off"}
    return (
        await open_node(graph, {**options, "filename": str(folder / "source")}),
        await open_node(graph, {**options, "filename": str(folder / "target"), **target_options}),
    )


def copied(folder: Path, source: bytes, **target_options: str) -> int:
    """Copy `PLACES` of a new file to `RANGES` of another; how many."""

    async def story() -> int:
        one, other = await two_files(folder, source, **target_options)
        count = await one.copy_scattered(PLACES, other, RANGES)
        assert not one.in_flight
        assert not other.in_flight
        assert not one.tracker.requests
        assert not other.tracker.requests
        await one.unref()
        await other.unref()
        return count

    return run(story())


@pytest.mark.parametrize("failure", [0, errno.EINVAL, errno.ENOSYS])
def test_every_range_arrives_whether_or_not_the_kernel_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: int
) -> None:
    if failure:
        monkeypatch.setattr(os, "sendfile", refuse(failure))
    source = os.urandom(6 * UNIT)
    assert copied(tmp_path, source) == len(PLACES)
    wanted = bytearray(7 * UNIT)
    for (place, length), (offset, _) in zip(PLACES, RANGES, strict=True):
        wanted[offset : offset + length] = source[place : place + length]
    assert (tmp_path / "target").read_bytes() == wanted


def test_the_first_failure_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sendfile", refuse(errno.ENOSPC))
    assert copied(tmp_path, os.urandom(6 * UNIT)) == 0


def test_nothing_is_taken_from_beyond_the_end(tmp_path: Path) -> None:
    assert copied(tmp_path, os.urandom(5 * UNIT)) == 0


def test_what_may_be_zeroes_is_left_where_zeroes_are_looked_for(tmp_path: Path) -> None:
    source = bytearray(os.urandom(6 * UNIT))
    source[3 * UNIT : 3 * UNIT + 512] = bytes(512)
    assert copied(tmp_path, bytes(source), **{"detect-zeroes": "on"}) == 2
    assert copied(tmp_path, bytes(source), **{"detect-zeroes": "off"}) == 4
