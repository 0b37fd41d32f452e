"""L1 and L2 entries and runs of them, against definitions written out one entry at a time."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.drivers.format.qcow2.extended_l2 import subcluster_kind, subcluster_run
from backcheck_engine.drivers.format.qcow2.tables import (
    COMPRESSED,
    COPIED,
    OFFSET_MASK,
    PLACED_KINDS,
    ClusterKind,
    cluster_kind,
    pack_words,
    progression,
    same_kind_run,
    unpack_words,
)

CLUSTER = 65536
entries = st.one_of(
    st.sampled_from([0, 1, COPIED | CLUSTER, COPIED | CLUSTER | 1, CLUSTER, COMPRESSED | 12345]),
    st.integers(1, 6).map(lambda number: COPIED | number * CLUSTER),
    st.integers(1, 6).map(lambda number: COPIED | number * CLUSTER | 1),
)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=64))
def test_words_survive_the_file(words: list[int]) -> None:
    data = b"".join(word.to_bytes(8, "big") for word in words)
    assert unpack_words(data).tolist() == words
    assert pack_words(array("Q", words)) == data


@given(st.integers(1, 5000), st.integers(0, 5000), st.sampled_from([0, CLUSTER]), st.booleans())
def test_progression_ends_where_it_breaks(count: int, break_at: int, step: int, has_break: bool) -> None:
    words = array("Q", [COPIED + CLUSTER + step * number for number in range(count)])
    expected = count
    if has_break and 0 < break_at < count:
        words[break_at] ^= 512
        expected = break_at
    assert progression(words, 0, count, step) == expected


def _slow_run(words: list[int]) -> int:
    kind = cluster_kind(words[0], has_data_file=False)
    if kind is ClusterKind.COMPRESSED:
        return 1
    length = 1
    while length < len(words) and cluster_kind(words[length], has_data_file=False) is kind:
        contiguous = words[length] & OFFSET_MASK == (words[0] & OFFSET_MASK) + length * CLUSTER
        if kind in PLACED_KINDS and not contiguous:
            break
        length += 1
    return length


@given(st.lists(entries, min_size=1, max_size=40))
def test_a_run_is_of_one_kind_in_one_place(words: list[int]) -> None:
    assert same_kind_run(array("Q", words), 0, len(words), CLUSTER, has_data_file=False) == _slow_run(words)


@given(
    st.sampled_from([0, CLUSTER, COPIED | CLUSTER, COMPRESSED | 512]),
    st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**32 - 1, (2**32 - 1) << 32]),
    st.integers(0, 31),
)
def test_subclusters_of_one_kind_are_counted(entry: int, bitmap: int, first: int) -> None:
    kinds = [subcluster_kind(entry, bitmap, number, has_data_file=False) for number in range(32)]
    bits = [(bitmap >> number & 1, bitmap >> (number + 32) & 1) for number in range(32)]
    kind, count = subcluster_run(entry, bitmap, first, has_data_file=False)
    assert kind is kinds[first]
    if kind is ClusterKind.COMPRESSED:
        assert count == 32 - first
        return
    expected = 1
    while first + expected < 32 and bits[first + expected] == bits[first]:
        expected += 1
    assert count == expected
