"""Dirty bitmaps against a plain set of units."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.block.dirty_bitmap import DirtyBitmap

KiB = 1024
GRANULARITY = 4 * KiB
SIZE = 50 * GRANULARITY - 512
UNITS = 50
GRANULARITIES = st.sampled_from([512, 1 * KiB, 4 * KiB, 8 * KiB, 32 * KiB, 64 * KiB, 512 * KiB])

RANGES = st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE)).map(lambda r: (r[0], min(r[1], SIZE - r[0])))
CHANGES = st.lists(st.tuples(st.booleans(), RANGES), max_size=30)


def touched(offset: int, length: int, granularity: int = GRANULARITY) -> set[int]:
    return set(range(offset // granularity, -(-(offset + length) // granularity))) if length else set()


def apply(
    changes: list[tuple[bool, tuple[int, int]]], granularity: int = GRANULARITY, size: int = SIZE
) -> tuple[DirtyBitmap, set[int]]:
    bitmap, model = DirtyBitmap(size, granularity), set[int]()
    for mark, (offset, length) in changes:
        length = max(0, min(length, size - offset))
        if mark:
            bitmap.set(offset, length)
            model |= touched(offset, length, granularity)
        else:
            bitmap.clear(offset, length)
            model -= touched(offset, length, granularity)
    return bitmap, model


def marked(bitmap: DirtyBitmap) -> set[int]:
    """The marked units, one by one; the count has to agree."""
    granularity = bitmap.granularity
    units = {unit for unit in range(-(-bitmap.size // granularity)) if bitmap.get(unit * granularity)}
    assert bitmap.count == len(units) * granularity
    return units


def expected_digest(units: set[int], count: int) -> str:
    """Of an array of 64-bit words, little-endian, at least one."""
    words = max(1, -(-count // 64))
    return hashlib.sha256(sum(1 << unit for unit in units).to_bytes(words * 8, "little")).hexdigest()


@given(CHANGES)
def test_units_are_marked_as_in_a_set(changes: list[tuple[bool, tuple[int, int]]]) -> None:
    bitmap, model = apply(changes)
    assert marked(bitmap) == model


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


@given(CHANGES, CHANGES, GRANULARITIES, GRANULARITIES, st.integers(1, SIZE))
def test_merging_marks_what_any_byte_of_the_other_marks(
    changes: list[tuple[bool, tuple[int, int]]],
    others: list[tuple[bool, tuple[int, int]]],
    granularity: int,
    other_granularity: int,
    size: int,
) -> None:
    bitmap, model = apply(changes, granularity, size)
    other, other_model = apply(others, other_granularity, size)
    bitmap.merge_from(other)
    for unit in other_model:
        start = unit * other_granularity
        model |= touched(start, min(other_granularity, size - start), granularity)
    assert marked(bitmap) == model
    assert marked(other) == other_model


@given(st.sets(st.integers(0, 4095)), st.sampled_from([512, 2 * KiB, 8 * KiB]), GRANULARITIES)
def test_merging_many_short_runs(units: set[int], granularity: int, wanted: int) -> None:
    """Where there are more runs than strides pay for, the other way of scaling does the work."""
    size = 4096 * granularity - 512
    other, bitmap = DirtyBitmap(size, granularity), DirtyBitmap(size, wanted)
    units |= set(range(0, 4096, 3))
    for unit in units:
        other.set(unit * granularity, 1)
    bitmap.merge_from(other)
    model = set[int]()
    for unit in units:
        model |= touched(unit * granularity, min(granularity, size - unit * granularity), wanted)
    assert marked(bitmap) == model


@given(CHANGES, st.integers(0, 2 * SIZE))
def test_resizing_forgets_what_is_cut_off_and_marks_nothing_new(
    changes: list[tuple[bool, tuple[int, int]]], size: int
) -> None:
    bitmap, model = apply(changes)
    bitmap.resize(size)
    assert bitmap.size == size
    model = {unit for unit in model if unit < -(-size // GRANULARITY)}
    assert marked(bitmap) == model
    bitmap.resize(2 * SIZE)
    assert marked(bitmap) == model


@given(CHANGES, CHANGES)
def test_restored_bits_are_those_that_were_saved(
    before: list[tuple[bool, tuple[int, int]]], after: list[tuple[bool, tuple[int, int]]]
) -> None:
    bitmap, model = apply(before)
    saved = bitmap.save_bits()
    for mark, (offset, length) in after:
        (bitmap.set if mark else bitmap.clear)(offset, length)
    bitmap.restore_bits(saved)
    assert marked(bitmap) == model
    taken = bitmap.take_bits()
    assert marked(bitmap) == set()
    bitmap.set(0, SIZE)
    bitmap.restore_bits(taken)
    assert marked(bitmap) == model


@given(CHANGES)
def test_clearing_all(changes: list[tuple[bool, tuple[int, int]]]) -> None:
    bitmap, _ = apply(changes)
    bitmap.clear_all()
    assert marked(bitmap) == set()
    assert bitmap.next_dirty(0) is None


@given(CHANGES, st.integers(1, 7))
def test_bits_pass_through_their_stored_form(changes: list[tuple[bool, tuple[int, int]]], bytes_a_piece: int) -> None:
    bitmap, model = apply(changes)
    stored = b"".join(
        bitmap.to_bytes(offset, bytes_a_piece * 8 * GRANULARITY)
        for offset in range(0, SIZE, bytes_a_piece * 8 * GRANULARITY)
    )
    assert int.from_bytes(stored, "little") == sum(1 << unit for unit in model)
    loaded = DirtyBitmap(SIZE, GRANULARITY)
    loaded.set(0, SIZE)
    for start in range(0, len(stored), bytes_a_piece):
        loaded.from_bytes(start * 8 * GRANULARITY, stored[start : start + bytes_a_piece])
    assert marked(loaded) == model


def test_stored_bits_beyond_the_end_are_not_loaded() -> None:
    bitmap = DirtyBitmap(SIZE, GRANULARITY)
    bitmap.from_bytes(0, b"\xff" * 100)
    assert bitmap.count == UNITS * GRANULARITY
    bitmap.from_bytes(0, memoryview(b"\x01"))
    assert bitmap.count == (UNITS - 7) * GRANULARITY
    bitmap.from_bytes(64 * GRANULARITY, b"\xff")
    assert bitmap.count == (UNITS - 7) * GRANULARITY


@given(CHANGES, GRANULARITIES)
def test_the_digest_is_that_of_whole_words(changes: list[tuple[bool, tuple[int, int]]], granularity: int) -> None:
    bitmap, model = apply(changes, granularity)
    assert bitmap.sha256() == expected_digest(model, -(-SIZE // granularity))


def test_the_digest_of_nothing_is_that_of_one_word() -> None:
    assert DirtyBitmap(0, GRANULARITY).sha256() == expected_digest(set(), 0)


def test_a_run_is_cut_to_the_length_asked() -> None:
    bitmap = DirtyBitmap(SIZE, GRANULARITY)
    bitmap.set(0, SIZE)
    assert bitmap.next_dirty_run(0, None, 2 * GRANULARITY) == (0, 2 * GRANULARITY)
    assert bitmap.next_dirty_run(48 * GRANULARITY) == (48 * GRANULARITY, 2 * GRANULARITY - 512)


def test_ranges_beyond_the_end_mark_nothing() -> None:
    bitmap = DirtyBitmap(SIZE, GRANULARITY)
    bitmap.set(60 * GRANULARITY, GRANULARITY)
    bitmap.set(SIZE, 0)
    assert marked(bitmap) == set()
    bitmap.set(49 * GRANULARITY, 100 * GRANULARITY)
    assert marked(bitmap) == {49}


def test_a_terabyte_is_searched_and_scaled_by_runs() -> None:
    size = 1 << 40
    bitmap = DirtyBitmap(size, 64 * KiB)
    bitmap.set(0, size)
    bitmap.clear(0, size - 64 * KiB)
    assert list(bitmap.runs()) == [(size - 64 * KiB, 64 * KiB)]
    assert bitmap.count == 64 * KiB
    for granularity in (16 * KiB, 1 << 20):
        other = DirtyBitmap(size, granularity)
        other.merge_from(bitmap)
        assert other.count == max(granularity, 64 * KiB)
        assert other.next_dirty(0) == size - other.count
