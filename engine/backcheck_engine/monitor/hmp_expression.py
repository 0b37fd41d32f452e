"""Whole numbers as the human monitor takes them: expressions of C, on 64 bits, from the weakest operators down.

sum: logic {(+|-) logic}    logic: product {(&|\\||^) product}    product: unary {(*|/|%) unary}
"""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_BITS: Final = 64


class ExpressionError(Exception):
    """What is wrong with an expression, in QEMU's words."""


def take_expression(text: str) -> tuple[int, str]:
    """(value, what follows) of the expression that `text` begins with. Raises ExpressionError."""
    reader = _Reader(text)
    return reader.sum(), reader.rest


class _Reader:
    def __init__(self, text: str) -> None:
        self.rest = text

    def sum(self) -> int:
        value = self._logic()
        while self.rest[:1] in ("+", "-"):
            operator = self._next()
            other = self._logic()
            value = _wrapped(value + other if operator == "+" else value - other)
        return value

    def _logic(self) -> int:
        value = self._product()
        while self.rest[:1] in ("&", "|", "^"):
            operator = self._next()
            other = self._product()
            value = value & other if operator == "&" else value | other if operator == "|" else value ^ other
        return value

    def _product(self) -> int:
        value = self._unary()
        while self.rest[:1] in ("*", "/", "%"):
            operator = self._next()
            other = self._unary()
            if operator == "*":
                value = _wrapped(value * other)
                continue
            if not other:
                raise ExpressionError("division by zero")
            quotient = abs(value) // abs(other) * (1 if (value < 0) == (other < 0) else -1)
            value = quotient if operator == "/" else value - quotient * other
        return value

    def _unary(self) -> int:
        first = self.rest[:1]
        if first in ("+", "-", "~"):
            self._next()
            value = self._unary()
            return value if first == "+" else _wrapped(-value) if first == "-" else ~value
        if first == "(":
            self._next()
            value = self.sum()
            if self.rest[:1] != ")":
                raise ExpressionError("')' expected")
            self._next()
            return value
        if first == "'":
            return self._character()
        if first == "$":
            raise ExpressionError("unknown register")
        if not first:
            raise ExpressionError("unexpected end of expression")
        return self._number()

    def _character(self) -> int:
        """A character between single quotes, which need not be escaped."""
        if len(self.rest) == 1:
            raise ExpressionError("character constant expected")
        if self.rest[2:3] != "'":
            raise ExpressionError("missing terminating ' character")
        value = ord(self.rest[1])
        self._skip(len("'A'"))
        return value

    def _number(self) -> int:
        found = _NUMBER.match(self.rest)
        if found is None:
            raise ExpressionError(f"invalid char '{self.rest[0]}' in expression")
        digits = found[0]
        if digits.startswith("0") and digits.isdecimal():
            octal = re.match("[0-7]+", digits)
            assert octal is not None
            digits, value = octal[0], int(octal[0], 8)
        elif digits.isdecimal() and len(digits) > len(str(1 << _BITS)):
            # Python refuses to read numbers of some thousand digits.
            raise ExpressionError("number too large")
        else:
            value = int(digits, 0)
        if value >= 1 << _BITS:
            raise ExpressionError("number too large")
        self._skip(len(digits))
        return _wrapped(value)

    def _next(self) -> str:
        first = self.rest[0]
        self._skip(1)
        return first

    def _skip(self, length: int) -> None:
        self.rest = self.rest[length:].lstrip(" ")


def _wrapped(value: int) -> int:
    """The value as 64 bits with a sign hold it."""
    value &= (1 << _BITS) - 1
    return value - (1 << _BITS) if value >> (_BITS - 1) else value
