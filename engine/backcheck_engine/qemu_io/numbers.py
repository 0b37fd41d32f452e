"""Numbers as the command lines of qemu-io and qemu-img take them, and sizes as they print them. Pure functions."""

import re
from typing import Final

SUFFIXES: Final = "bkmgtpe"
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_IMAGE_UNITS: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_SIZE: Final = re.compile(
    r"\s*(?:\+?(?P<hex>0[xX][0-9a-fA-F]+)|(?P<sign>[+-]?)(?P<whole>\d*)(?P<fraction>\.\d*)?(?P<suffix>[bkmgtpe]?))",
    re.ASCII | re.IGNORECASE,
)
_C_INTEGER: Final = re.compile(r"\s*[+-]?(0[xX][0-9a-fA-F]+|\d+)", re.ASCII)
INT64_MAX: Final = 2**63 - 1
_MOST_DIGITS: Final = 4000
"""Python refuses to convert longer numbers, and they are too large anyway."""


class NotANumber(ValueError):
    """The text is no size."""


class OutOfRange(ValueError):
    """The text is a size that is negative or above what fits."""


def parse_size(text: str, limit: int = INT64_MAX) -> int:
    """A number of bytes: digits, a fraction where a suffix makes it whole, a suffix out of bkMGTPE; or 0x….

    Raises NotANumber, or OutOfRange below 0 and above `limit`.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise NotANumber(text)
    if len(text) > _MOST_DIGITS and not match["hex"]:
        raise OutOfRange(text)
    value = int(match["hex"], 16) if match["hex"] else _decimal(text, match)
    if value > limit or match["sign"] == "-":
        raise OutOfRange(text)
    return value


def _decimal(text: str, match: re.Match[str]) -> int:
    whole, fraction, shift = match["whole"], (match["fraction"] or "")[1:], _shift(match["suffix"])
    if not whole and not fraction:
        raise NotANumber(text)
    if int(fraction or "0") and not shift:
        raise NotANumber(text)
    value = int(whole or "0") << shift
    if fraction:
        value += (int(fraction) << shift) // 10 ** len(fraction)
    return value


def _shift(suffix: str) -> int:
    return 10 * SUFFIXES.index((suffix or "b").lower())


def parse_integer(text: str) -> int | None:
    """An integer as C writes it: decimal, 0x… or 0…; None when it is none."""
    if not _C_INTEGER.fullmatch(text):
        return None
    digits = text.strip()
    try:
        return int(digits, 8) if re.fullmatch(r"[+-]?0\d+", digits) else int(digits, 0)
    except ValueError:
        return None


def bytes_text(value: float) -> str:
    """A number of bytes as qemu-io prints it: `512 bytes`, `1.500 KiB`, `64 KiB`; fractions where there are any."""
    power = 0
    while power < len(_UNITS) - 1 and value >= 1024 ** (power + 1):
        power += 1
    number = f"{value / 1024**power:.3f}".removesuffix(".000") if power else f"{value:f}".removesuffix(".000000")
    return f"{number} {_UNITS[power]}"


def size_text(value: int) -> str:
    """A size as qemu-img prints it, three digits: `4 MiB`, `1.5 GiB`, `512 B`."""
    power = 0
    while power < len(_IMAGE_UNITS) - 1 and value >= 1000 * 1024**power:
        power += 1
    return f"{value / 1024**power:.3g} {_IMAGE_UNITS[power]}B"
