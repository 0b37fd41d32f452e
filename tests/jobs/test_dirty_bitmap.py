"""Dirty bitmaps against a set of offsets."""

from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.block.dirty_bitmap import DirtyBitmap

KiB = 1024
GRANULARITY = 4 * KiB
SIZE = 50 * GRANULARITY - 512

RANGES = st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE)).map(lambda r: (r[0], min(r[1], SIZE - r[0])))
CHANGES = st.lists(st.tuples(st.booleans(), RANGES), max_size=30)


def touched(offset: int, length: int) -> set[int]:
    return set(range(offset // GRANULARITY, -(-(offset + length) // GRANULARITY))) if length else set()


def apply(changes: list[tuple[bool, tuple[int, int]]]) -> tuple[DirtyBitmap, set[int]]:
    bitmap, model = DirtyBitmap(SIZE, GRANULARITY), set[int]()
    for mark, (offset, length) in changes:
        if mark:
            bitmap.set(offset, length)
            model |= touched(offset, length)
        else:
            bitmap.clear(offset, length)
            model -= touched(offset, length)
    return bitmap, model


@given(CHANGES)
def test_units_are_marked_as_in_a_set(changes: list[tuple[bool, tuple[int, int]]]) -> None:
    bitmap, model = apply(changes)
    assert {unit for unit in range(50) if bitmap.get(unit * GRANULARITY)} == model
    assert bitmap.count == len(model) * GRANULARITY


@given(CHANGES, RANGES)
def test_searches_find_the_first_of_the_set(
    changes: list[tuple[bool, tuple[int, int]]], where: tuple[int, int]
) -> None:
    bitmap, model = apply(changes)
    start, end = where[0], sum(where)
    dirty = [offset for offset in range(start, end, 512) if offset // GRANULARITY in model]
    # Offsets inside a unit count: the search begins in the middle of one.
    first = bitmap.next_dirty(start, end)
    expected = (
        next((offset for offset in range(start, end) if offset // GRANULARITY in model), None) if dirty else first
    )
    assert first == expected
    clear = bitmap.next_clear(start, end)
    assert clear is None or (clear // GRANULARITY not in model and start <= clear < end)


@given(CHANGES)
def test_runs_cover_the_set_and_nothing_else(changes: list[tuple[bool, tuple[int, int]]]) -> None:
    bitmap, model = apply(changes)
    covered: set[int] = set()
    last_end = -1
    for offset, length in bitmap.runs():
        assert length > 0
        assert offset > last_end, "two runs that touch are one"
        last_end = offset + length
        covered |= touched(offset, length)
    assert covered == model
    assert last_end <= SIZE


def test_a_run_is_cut_to_the_length_asked() -> None:
    bitmap = DirtyBitmap(SIZE, GRANULARITY)
    bitmap.set(0, SIZE)
    assert bitmap.next_dirty_run(0, None, 2 * GRANULARITY) == (0, 2 * GRANULARITY)
    assert bitmap.next_dirty_run(48 * GRANULARITY) == (48 * GRANULARITY, 2 * GRANULARITY - 512)


def test_a_terabyte_is_searched_by_runs() -> None:
    bitmap = DirtyBitmap(1 << 40, 64 * KiB)
    bitmap.set(0, 1 << 40)
    bitmap.clear(0, (1 << 40) - 64 * KiB)
    assert list(bitmap.runs()) == [((1 << 40) - 64 * KiB, 64 * KiB)]
    assert bitmap.count == 64 * KiB
