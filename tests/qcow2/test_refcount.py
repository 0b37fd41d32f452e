"""Refcount blocks of every width, against a list of numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.drivers.format.qcow2.geometry import Geometry
from backcheck_engine.drivers.format.qcow2.refcount import RefcountBlock, RefcountRangeError

ORDERS = range(7)


def _packed(values: list[int], bits: int) -> bytes:
    """The block as the specification describes it: big endian, and from the low bits within a byte."""
    if bits >= 8:
        return b"".join(value.to_bytes(bits // 8, "big") for value in values)
    per_byte = 8 // bits
    rows = (values[at : at + per_byte] for at in range(0, len(values), per_byte))
    return bytes(sum(value << number * bits for number, value in enumerate(row)) for row in rows)


@pytest.mark.parametrize("order", ORDERS)
@given(data=st.data())
def test_a_block_behaves_as_a_list(order: int, data: st.DataObject) -> None:
    geometry = Geometry.of(9, refcount_order=order)
    count, largest = geometry.refcount_block_entries, geometry.refcount_max
    levels = [0, 0, 1, min(2, largest), largest]
    pattern = data.draw(st.lists(st.sampled_from(levels), min_size=1, max_size=32))
    values = (pattern * count)[:count]
    block = RefcountBlock.unpack(geometry, _packed(values, geometry.refcount_bits))
    start = data.draw(st.integers(0, count - 1))
    length = data.draw(st.integers(1, count - start))
    delta = data.draw(st.sampled_from([-1, 1]))
    free = [index for index in range(start, count) if values[index] == 0]
    assert block.find_free(start) == (free[0] if free else count)
    run = 0
    while run < length and values[start + run] == 0:
        run += 1
    assert block.free_run(start, length) == run
    changed = [value + delta for value in values[start : start + length]]
    if min(changed) < 0 or max(changed) > largest:
        with pytest.raises(RefcountRangeError):
            block.add(start, length, delta)
    else:
        block.add(start, length, delta)
        values[start : start + length] = changed
    assert block.values().tolist() == values
    assert block.pack(0, 512) == _packed(values, geometry.refcount_bits)
    assert block.pack(8, 24) == _packed(values, geometry.refcount_bits)[8:24]
    assert block.get(start) == values[start]
    assert block.is_empty() == (not any(values))
