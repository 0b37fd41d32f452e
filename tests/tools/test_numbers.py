"""Numbers on command lines, and sizes in output, as qemu-io and qemu-img of 10.0 were seen to take and print them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.qemu_io.numbers import (
    NotANumber,
    OutOfRange,
    bytes_text,
    parse_integer,
    parse_size,
    size_text,
)

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("512", 512),
        (" 7", 7),
        ("+5", 5),
        ("64k", 65536),
        ("64K", 65536),
        ("3b", 3),
        ("1.5k", 1536),
        (".5k", 512),
        ("1.k", 1024),
        ("1.0", 1),
        ("0x1000", 4096),
        ("0x10e", 270),
        ("1e", 1 << 60),
        ("2T", 2 << 40),
    ],
)
def test_sizes_that_are_taken(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "k", ".", "zz", "1.5", "1e3", "1KB", "0x", "0x10k", "1 k", "--1", "٣"])
def test_texts_that_are_no_sizes(text: str) -> None:
    with pytest.raises(NotANumber):
        parse_size(text)


@pytest.mark.parametrize("text", ["8E", "16E", "9000000T", "-1", "-0", "0x8000000000000000"])
def test_sizes_that_do_not_fit(text: str) -> None:
    with pytest.raises(OutOfRange):
        parse_size(text)


@given(st.integers(0, 2**63 - 1), st.sampled_from("bkmgtpe"))
def test_a_suffix_multiplies(number: int, suffix: str) -> None:
    value = number * 1024 ** "bkmgtpe".index(suffix)
    if value < 2**63:
        assert parse_size(f"{number}{suffix}") == parse_size(f"{number}{suffix.upper()}") == value
    else:
        with pytest.raises(OutOfRange):
            parse_size(f"{number}{suffix}")


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("0x1F", 31), ("010", 8), ("-3", -3), ("08", None), ("1k", None), ("", None), ("1_0", None)],
)
def test_integers_as_c_writes_them(text: str, value: int | None) -> None:
    assert parse_integer(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 bytes"),
        (1, "1 bytes"),
        (753.397824, "753.397824 bytes"),
        (2000, "1.953 KiB"),
        (65536, "64 KiB"),
        (4.875 * MIB, "4.875 MiB"),
        (1 << 60, "1 EiB"),
    ],
)
def test_bytes_as_qemu_io_prints_them(value: float, text: str) -> None:
    assert bytes_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (197120, "192 KiB"),
        (4 * MIB, "4 MiB"),
        (1536 * MIB, "1.5 GiB"),
    ],
)
def test_sizes_as_qemu_img_prints_them(value: int, text: str) -> None:
    assert size_text(value) == text
