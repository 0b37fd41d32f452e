"""Bits of one granularity as bits of another, all at once: runs of bits where there are few, strides where many."""

from typing import Final

from bitarray import bitarray

_UNITS_FOR_A_RUN: Final = 64
"""How many bits a stride moves in the time that one run takes."""


def scaled(bits: bitarray, shift: int, wanted_shift: int, wanted_count: int) -> bitarray:
    """`bits`, of 2**shift bytes each, as `wanted_count` bits of 2**wanted_shift bytes.

    A wanted bit is set when any byte of it is. The result may be `bits` itself, and is not to be changed.
    """
    if shift == wanted_shift:
        return bits
    wanted = bitarray(wanted_count, endian="little")
    wanted.setall(0)
    if _count_runs(bits) * _UNITS_FOR_A_RUN < max(len(bits), wanted_count):
        _scale_runs(bits, shift, wanted, wanted_shift)
    elif shift < wanted_shift:
        _coarsen(bits, 1 << (wanted_shift - shift), wanted)
    else:
        _refine(bits, 1 << (shift - wanted_shift), wanted)
    return wanted


def _count_runs(bits: bitarray) -> int:
    """How many times the bits change from clear to set."""
    return (bits & ~(bits >> 1)).count(1)


def _scale_runs(bits: bitarray, shift: int, wanted: bitarray, wanted_shift: int) -> None:
    first = bits.find(1)
    while first >= 0:
        end = bits.find(0, first)
        if end < 0:
            end = len(bits)
        wanted_end = (((end << shift) - 1) >> wanted_shift) + 1
        wanted[first << shift >> wanted_shift : wanted_end] = 1
        first = bits.find(1, max(end, (wanted_end << wanted_shift) >> shift))


def _coarsen(bits: bitarray, factor: int, wanted: bitarray) -> None:
    """Set each wanted bit that any of its `factor` bits sets."""
    for start in range(factor):
        column = bits[start::factor]
        wanted[: len(column)] |= column


def _refine(bits: bitarray, factor: int, wanted: bitarray) -> None:
    """Set the `factor` wanted bits of each set bit."""
    for start in range(factor):
        room = len(wanted[start::factor])
        wanted[start::factor] = bits[:room]
