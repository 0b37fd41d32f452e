"""The bitmaps of one node: names, successors, and the states in which they may be used."""

import errno
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.block.driver import DriverInfo
from backcheck_engine.block.node import Node
from backcheck_engine.block.node_bitmaps import NodeBitmaps, check_usable
from backcheck_engine.errors import BlockError

KiB = 1024
MiB = 1024 * KiB
UNIT = 64 * KiB


def bitmaps_of(info: DriverInfo | None = None, size: int = MiB) -> NodeBitmaps:
    return NodeBitmaps(cast("Node", SimpleNamespace(size=size, driver=SimpleNamespace(info=lambda: info))))


def units(bitmap: DirtyBitmap) -> set[int]:
    return {offset // UNIT for offset in range(0, bitmap.size, UNIT) if bitmap.get(offset)}


@pytest.mark.parametrize(
    ("info", "granularity"),
    [
        (None, 64 * KiB),
        (DriverInfo(cluster_size=0), 64 * KiB),
        (DriverInfo(cluster_size=512), 4 * KiB),
        (DriverInfo(cluster_size=16 * KiB), 16 * KiB),
        (DriverInfo(cluster_size=2 * MiB), 64 * KiB),
    ],
)
def test_the_default_granularity_is_the_cluster_within_bounds(info: DriverInfo | None, granularity: int) -> None:
    assert bitmaps_of(info).create().granularity == granularity


def test_the_newest_comes_first_and_has_its_name_alone() -> None:
    bitmaps = bitmaps_of()
    first = bitmaps.create(name="b0")
    nameless = [bitmaps.create(), bitmaps.create()]
    last = bitmaps.create(UNIT, name="b1", recording=False)
    assert list(bitmaps) == [last, nameless[1], nameless[0], first]
    assert bitmaps.find("b0") is first
    assert bitmaps.find("") is None
    with pytest.raises(BlockError, match=r"^Bitmap already exists: b0$"):
        bitmaps.create(name="b0")
    bitmaps.remove(first)
    bitmaps.create(name="b0")


@pytest.mark.parametrize(("name", "fits"), [("x" * 1023, True), ("x" * 1024, False), ("ä" * 512, False)])
def test_a_name_is_measured_in_bytes(name: str, fits: bool) -> None:
    bitmaps = bitmaps_of()
    if fits:
        bitmaps.create(name=name)
    else:
        with pytest.raises(BlockError, match=r"^Bitmap name too long: "):
            bitmaps.create(name=name)
    assert len(bitmaps) == fits


def test_more_bits_than_memory_holds() -> None:
    with pytest.raises(BlockError) as caught:
        bitmaps_of(size=1 << 62).create(512)
    assert caught.value.errno == errno.ENOMEM


@given(st.booleans(), st.sets(st.integers(0, 15)), st.sets(st.integers(0, 15)), st.booleans())
def test_a_successor_takes_over_or_is_merged(
    recording: bool, before: set[int], meanwhile: set[int], succeeds: bool
) -> None:
    bitmaps = bitmaps_of()
    bitmap = bitmaps.create(UNIT, name="b0")
    bitmap.persistent = True
    for unit in before:
        bitmaps.mark_written(unit * UNIT, 1)
    bitmap.recording = recording
    successor = bitmaps.freeze(bitmap)
    assert bitmap.busy
    assert bitmap.successor is successor
    assert bitmap.is_recording is recording
    for unit in meanwhile:
        bitmaps.mark_written(unit * UNIT, 1)
    assert units(bitmap) == before, "it stands still"
    noted = meanwhile if recording else set()
    if succeeds:
        left = bitmaps.succeed(bitmap)
        assert left is successor
        assert units(left) == noted
    else:
        bitmaps.reclaim(bitmap)
        left = bitmap
        assert units(left) == before | noted
    assert list(bitmaps) == [left]
    assert (left.name, left.persistent, left.busy, left.recording) == ("b0", True, False, recording)
    assert left.successor is None


def test_only_those_that_record_are_marked_and_all_are_resized() -> None:
    bitmaps = bitmaps_of()
    recording, disabled = bitmaps.create(UNIT), bitmaps.create(UNIT, recording=False)
    bitmaps.mark_written(5, 1)
    assert (recording.count, disabled.count) == (UNIT, 0)
    bitmaps.resize(2 * MiB)
    assert {bitmap.size for bitmap in bitmaps} == {2 * MiB}


@pytest.mark.parametrize(
    ("state", "permission", "text"),
    [
        ("busy", None, "Bitmap 'b0' is currently in use by another operation and cannot be used"),
        ("read_only", "allow_read_only", "Bitmap 'b0' is readonly and cannot be modified"),
        ("inconsistent", "allow_inconsistent", "Bitmap 'b0' is inconsistent and cannot be used"),
    ],
)
def test_a_state_is_refused_unless_it_is_allowed(state: str, permission: str | None, text: str) -> None:
    bitmap = DirtyBitmap(MiB, UNIT, name="b0")
    check_usable(bitmap)
    setattr(bitmap, state, True)
    with pytest.raises(BlockError, match=f"^{text}$"):
        check_usable(bitmap)
    if permission is not None:
        check_usable(bitmap, **{permission: True})
