"""Bits of one granularity as bits of another: one by one or run by run where there are few, else all bits at once.

All at once means to double or halve the number of bits until it is right, each time with a table of what a byte of
them becomes; the time depends on the number of bits alone, however they lie.
"""

from typing import Final

from bitarray import bitarray

from backcheck_engine.block.bit_runs import count_runs, runs_of
from backcheck_engine.block.zero_bits import zero_bits

_BITS_FOR_A_RUN: Final = 1024
"""How many bits are doubled or halved in the time that one run takes."""


def _halved(byte: int) -> int:
    """Four bits for the eight of a byte: each is set when either of its two is."""
    return sum(1 << position for position in range(4) if byte >> 2 * position & 3)


def _doubled(nibble: int) -> int:
    """A byte for four bits: two for each."""
    return sum(3 << 2 * position for position in range(4) if nibble >> position & 1)


_HALF_LOW: Final = bytes(_halved(byte) for byte in range(256))
_HALF_HIGH: Final = bytes(_halved(byte) << 4 for byte in range(256))
_DOUBLE_LOW: Final = bytes(_doubled(byte & 15) for byte in range(256))
_DOUBLE_HIGH: Final = bytes(_doubled(byte >> 4) for byte in range(256))


def scaled(bits: bitarray, set_count: int, shift: int, wanted_shift: int, wanted_count: int) -> bitarray:
    """`bits`, of which `set_count` are set, of 2**shift bytes each, as `wanted_count` bits of 2**wanted_shift bytes.

    A wanted bit is set when any byte of it is. The result may be `bits` itself, and is not to be changed.
    """
    if shift == wanted_shift:
        return bits
    few = max(len(bits), wanted_count) // _BITS_FOR_A_RUN
    if set_count <= few and shift < wanted_shift:
        return _coarsen_each(bits, wanted_shift - shift, wanted_count)
    if set_count <= few or count_runs(bits) <= few:
        return _scale_runs(bits, shift, wanted_shift, wanted_count)
    while shift < wanted_shift:
        bits = _halve(bits)
        shift += 1
    while shift > wanted_shift:
        bits = _double(bits)
        shift -= 1
    if len(bits) < wanted_count:
        bits.extend(zero_bits(wanted_count - len(bits)))
    return bits[:wanted_count]


def _coarsen_each(bits: bitarray, shift: int, wanted_count: int) -> bitarray:
    """For few bits, which are likely to lie alone."""
    wanted = zero_bits(wanted_count)
    wanted[[position >> shift for position in bits.search(1)]] = 1
    return wanted


def _scale_runs(bits: bitarray, shift: int, wanted_shift: int, wanted_count: int) -> bitarray:
    wanted = zero_bits(wanted_count)
    for first, end in runs_of(bits, 0, len(bits)):
        wanted[first << shift >> wanted_shift : (((end << shift) - 1) >> wanted_shift) + 1] = 1
    return wanted


def _halve(bits: bitarray) -> bitarray:
    """One bit for two, padded with clear ones to whole bytes."""
    raw = bits.tobytes()
    if len(raw) % 2:
        raw += b"\0"
    return _of_bytes(raw[0::2].translate(_HALF_LOW)) | _of_bytes(raw[1::2].translate(_HALF_HIGH))


def _double(bits: bitarray) -> bitarray:
    """Two bits for one, padded with clear ones to whole bytes."""
    raw = bits.tobytes()
    doubled = bytearray(2 * len(raw))
    doubled[0::2] = raw.translate(_DOUBLE_LOW)
    doubled[1::2] = raw.translate(_DOUBLE_HIGH)
    return _of_bytes(doubled)


def _of_bytes(raw: bytes | bytearray) -> bitarray:
    bits = bitarray(endian="little")
    bits.frombytes(raw)
    return bits
