"""Inflates raw deflate streams (RFC 1951) and tells how far back they refer: a witness, plain and slow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST_CODE = 15
END_OF_BLOCK = 256
CODE_LENGTH_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
LENGTH_EXTRA_BITS = (*(0,) * 8, *(bits for bits in range(1, 6) for _ in range(4)), 0)
DISTANCE_EXTRA_BITS = (0, 0, *(bits for bits in range(14) for _ in range(2)))
FIXED_LENGTHS = (8,) * 144 + (9,) * 112 + (7,) * 24 + (8,) * 8
FIXED_DISTANCES = (5,) * 30
REPEATS = {16: (2, 3), 17: (3, 3), 18: (7, 11)}
"""Symbol of a code length that repeats -> (extra bits, smallest count)."""


def _bases(first: int, extra_bits: Sequence[int]) -> tuple[int, ...]:
    """The smallest value of each symbol, when each begins where the one before ends."""
    values, value = [], first
    for bits in extra_bits:
        values.append(value)
        value += 1 << bits
    return tuple(values)


LENGTH_BASES = (*_bases(3, LENGTH_EXTRA_BITS[:-1]), 258)
DISTANCE_BASES = _bases(1, DISTANCE_EXTRA_BITS)


class InflateError(ValueError):
    """A stream that is no deflate stream, ends early, or expands to more than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflated:
    """What a stream held.

    used: how many bytes the stream has. distances: how far back each of its matches refers, in their order.
    """

    data: bytes
    used: int
    distances: tuple[int, ...]

    @property
    def greatest_distance(self) -> int:
        """The window that a reader needs; 0 when nothing refers back."""
        return max(self.distances, default=0)

    def beyond(self, window: int) -> list[int]:
        """The distances that a reader with that window cannot follow."""
        return [distance for distance in self.distances if distance > window]


class Code:
    """A canonical Huffman code (RFC 1951, 3.2.2): what the next bits mean, looked up in all of them at once."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.bits = max(lengths, default=0)
        self._meanings: list[tuple[int, int]] = [(0, 0)] * (1 << self.bits)
        code = 0
        for length in range(1, self.bits + 1):
            for symbol, its_length in enumerate(lengths):
                if its_length != length:
                    continue
                if code >> length:
                    raise InflateError("a code with more words than its lengths allow")
                # The first bit of a word comes first, at the low end.
                word = int(f"{code:0{length}b}"[::-1], 2)
                self._meanings[word :: 1 << length] = [(symbol, length)] * (1 << self.bits - length)
                code += 1
            code <<= 1

    def meaning(self, bits: int) -> tuple[int, int]:
        """(symbol, length of its word) of the next bits. Raises InflateError."""
        symbol, length = self._meanings[bits]
        if not length:
            raise InflateError("bits that are no word of the code")
        return symbol, length


class _Bits:
    """A stream's bits, the low ones of each byte first."""

    def __init__(self, stream: bytes) -> None:
        self._bytes = iter(stream)
        self._held, self._count = 0, 0
        self.used = 0

    def _fill(self, count: int) -> None:
        """Hold that many bits, as far as there are any."""
        while self._count < count and (byte := next(self._bytes, None)) is not None:
            self._held |= byte << self._count
            self._count += 8

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._fill(count)
        value = self._held & (1 << count) - 1
        self._drop(count)
        return value

    def symbol(self, code: Code) -> int:
        """The symbol of the next word."""
        self._fill(code.bits)
        symbol, length = code.meaning(self._held & (1 << code.bits) - 1)
        self._drop(length)
        return symbol

    def _drop(self, count: int) -> None:
        if count > self._count:
            raise InflateError("the stream ends early")
        self._held >>= count
        self._count -= count
        self.used += count

    def align(self) -> None:
        """Go on at the next whole byte."""
        self.take(-self.used % 8)


FIXED_CODES = Code(FIXED_LENGTHS), Code(FIXED_DISTANCES)


def inflate(stream: bytes, limit: int) -> Inflated:
    """Expand the stream at the beginning of `stream`, of at most `limit` bytes. Raises InflateError."""
    bits, data = _Bits(stream), bytearray()
    distances: list[int] = []
    is_last = False
    while not is_last:
        is_last = bool(bits.take(1))
        match bits.take(2):
            case 0:
                data += _stored(bits)
            case 1:
                distances += _block(bits, *FIXED_CODES, data, limit)
            case 2:
                distances += _block(bits, *_dynamic_codes(bits), data, limit)
            case _:
                raise InflateError("a block of an unknown type")
        if len(data) > limit:
            raise InflateError(f"more than {limit} bytes")
    return Inflated(data=bytes(data), used=-(-bits.used // 8), distances=tuple(distances))


def _stored(bits: _Bits) -> bytes:
    bits.align()
    length, complement = bits.take(16), bits.take(16)
    if length ^ complement != 0xFFFF:
        raise InflateError("a stored block whose length is not what its complement says")
    return bytes(bits.take(8) for _ in range(length))


def _dynamic_codes(bits: _Bits) -> tuple[Code, Code]:
    """The codes of a block that begins with them: for literals and lengths, and for distances."""
    literals, distances, count = bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4
    lengths_of_lengths = [0] * len(CODE_LENGTH_ORDER)
    for symbol in CODE_LENGTH_ORDER[:count]:
        lengths_of_lengths[symbol] = bits.take(3)
    code = Code(lengths_of_lengths)
    lengths: list[int] = []
    while len(lengths) < literals + distances:
        symbol = bits.symbol(code) if code.bits else 0
        if symbol not in REPEATS:
            lengths.append(symbol)
            continue
        if symbol == 16 and not lengths:
            raise InflateError("a length that repeats none")
        extra, least = REPEATS[symbol]
        lengths += [lengths[-1] if symbol == 16 else 0] * (least + bits.take(extra))
    if len(lengths) > literals + distances:
        raise InflateError("more lengths than symbols")
    return Code(lengths[:literals]), Code(lengths[literals:])


def _block(bits: _Bits, literals: Code, distances: Code, data: bytearray, limit: int) -> Iterator[int]:
    """Append what a block of words holds; the distance of each match."""
    while (symbol := bits.symbol(literals)) != END_OF_BLOCK:
        if symbol < END_OF_BLOCK:
            data.append(symbol)
        else:
            length = _value(bits, symbol - END_OF_BLOCK - 1, LENGTH_BASES, LENGTH_EXTRA_BITS)
            distance = _value(bits, bits.symbol(distances), DISTANCE_BASES, DISTANCE_EXTRA_BITS)
            if distance > len(data):
                raise InflateError("a match before the beginning")
            period = data[-distance:][:length]
            data += (period * -(-length // len(period)))[:length]
            yield distance
        if len(data) > limit:
            raise InflateError(f"more than {limit} bytes")


def _value(bits: _Bits, symbol: int, bases: Sequence[int], extra_bits: Sequence[int]) -> int:
    if symbol >= len(bases):
        raise InflateError("a symbol that has no meaning")
    return bases[symbol] + bits.take(extra_bits[symbol])
