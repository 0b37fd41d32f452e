"""Where buffers have data and where they differ: the fast search against a slow one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.tools.zero_search import differing_runs, first_different_sector, is_zero, runs

SECTOR = 512
SECTORS = {"0": bytes(SECTOR), "x": b"x" + bytes(SECTOR - 1), "y": bytes(SECTOR - 1) + b"y", "z": b"z" * SECTOR}
SHAPES = st.text(alphabet="0xyz", min_size=1, max_size=12)


def slow_runs(data: bytes, offset: int, granularity: int) -> list[tuple[int, int, bool]]:
    """Byte by byte: a block, cut at multiples of the granularity, has data when one of its bytes is not 0."""
    found: list[tuple[int, int, bool]] = []
    for position in range(len(data)):
        block = (offset + position) // granularity
        start = max(block * granularity - offset, 0)
        has_data = any(data[start : (block + 1) * granularity - offset])
        if found and found[-1][2] == has_data:
            found[-1] = (found[-1][0], found[-1][1] + 1, has_data)
        else:
            found.append((position, 1, has_data))
    return found


@given(SHAPES, st.integers(0, 9), st.sampled_from([512, 1024, 4096]), st.booleans())
def test_runs(shape: str, sector: int, granularity: int, as_view: bool) -> None:
    data = b"".join(map(SECTORS.__getitem__, shape))
    buffer = memoryview(data) if as_view else data
    assert list(runs(buffer, sector * SECTOR, granularity)) == slow_runs(data, sector * SECTOR, granularity)
    assert is_zero(buffer) == (not any(data))


@given(SHAPES, st.data())
def test_differences(shape: str, data: st.DataObject) -> None:
    one = b"".join(map(SECTORS.__getitem__, shape))
    changed = data.draw(st.sets(st.integers(0, len(shape) - 1)))
    other = bytearray(one)
    for index in changed:
        other[index * SECTOR + 7] ^= 1
    first = min(changed) * SECTOR if changed else None
    assert first_different_sector(one, other) == first_different_sector(other, memoryview(one)) == first
    found = {
        start // SECTOR + sector
        for start, length in differing_runs(one, memoryview(other), 0, SECTOR)
        for sector in range(length // SECTOR)
    }
    assert found == changed
