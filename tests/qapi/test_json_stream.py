"""The JSON parser: what it accepts, beside the standard library's, and that it does not matter how a stream is cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.json_value import JsonValue
from backcheck_engine.qapi.json_parser import JsonError, MessageParser, parse_text
from backcheck_engine.release import QEMU_10_0, QEMU_11_1

CHARACTERS = st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=["Cs", "Cn", "Co"])
TEXTS = st.text(CHARACTERS, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | TEXTS
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=8
)
PIECES = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b":", b",", b'"a"', b"'b'", b"1", b"-0.5e3", b"true", b"nul"),
        *(b" ", b"\n", b"\xff", b"%", b'"', b"\\"),
    ]
)


def outcomes(parser: MessageParser, *chunks: bytes) -> list[tuple[JsonValue, str | None]]:
    messages = [message for chunk in chunks for message in parser.feed(chunk)]
    return [(message.value, message.error.message if message.error else None) for message in messages]


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.booleans(), st.sampled_from([None, 2]))
def test_reads_what_json_writes(value: dict[str, JsonValue], ascii_only: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert outcomes(MessageParser(QEMU_10_0), data) == [(value, None)]
    assert outcomes(MessageParser(QEMU_10_0), *(bytes([byte]) for byte in data)) == [(value, None)]


@given(st.lists(PIECES, max_size=30), st.data())
def test_cuts_do_not_matter(pieces: list[bytes], data: st.DataObject) -> None:
    """11.1 tells line and column, so that these are compared too."""
    stream = b"".join(pieces) + b"\n"
    cut = data.draw(st.integers(0, len(stream)))
    whole = outcomes(MessageParser(QEMU_11_1), stream)
    assert outcomes(MessageParser(QEMU_11_1), stream[:cut], stream[cut:]) == whole
    assert outcomes(MessageParser(QEMU_11_1), *(bytes([byte]) for byte in stream)) == whole


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=5))
def test_needs_nothing_between_messages(values: list[dict[str, JsonValue]]) -> None:
    stream = b"".join(json.dumps(value).encode() for value in values)
    assert outcomes(MessageParser(QEMU_10_0), stream) == [(value, None) for value in values]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "JSON parse error, premature EOI"),
        ("[1", "JSON parse error, premature EOI"),
        ("{driver:null-co}", "JSON parse error, stray '-c'"),
        ("nul", "JSON parse error, invalid keyword 'nul'"),
    ],
)
def test_wrong_text(text: str, problem: str) -> None:
    with pytest.raises(JsonError) as raised:
        parse_text(text, QEMU_10_0)
    assert str(raised.value) == problem


def test_numbers() -> None:
    values = [0, -1, (1 << 64) - 1, -(1 << 63)]
    assert parse_text(json.dumps(values), QEMU_10_0) == values
    beyond = parse_text("[18446744073709551616, -9223372036854775809, 1.5, 2e3]", QEMU_10_0)
    assert beyond == [18446744073709551616.0, -9223372036854775808.0, 1.5, 2000.0]
    assert isinstance(beyond, list)
    assert all(isinstance(value, float) for value in beyond)
