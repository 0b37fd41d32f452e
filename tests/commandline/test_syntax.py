"""The two notations of option values, and what is wrong with them; texts as QEMU 10.0 prints them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.commandline.syntax import Item, check_identifier, parse_flat, parse_nested, split
from backcheck_engine.errors import OptionError

VALUES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8)
KEYS = st.from_regex(r"[a-z]{1,4}(-[a-z]{1,3})?", fullmatch=True)


@given(st.dictionaries(KEYS, VALUES))
def test_flat_reads_back(options: dict[str, str]) -> None:
    text = ",".join(f"{key}={value.replace(',', ',,')}" for key, value in options.items())
    assert parse_flat(text) == [Item(key, value) for key, value in options.items()]


@given(st.lists(KEYS, min_size=1, max_size=3, unique=True), VALUES)
def test_nested_reads_back(path: list[str], value: str) -> None:
    tree: object = value
    for key in reversed(path):
        tree = {key: tree}
    assert parse_nested(f"{'.'.join(path)}={value.replace(',', ',,')}") == tree


def test_split_keeps_double_commas() -> None:
    assert list(split("a=1,,2,b=3")) == ["a=1,,2", "b=3"]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("null", [Item("backend", "null")]),
        ("null,id=x", [Item("backend", "null"), Item("id", "x")]),
        ("a=b,server,nowait", [Item("a", "b"), Item("server", "on", True), Item("wait", "off", True)]),
        ("file=a,,b=c", [Item("file", "a,b=c")]),
        ("", []),
    ],
)
def test_flat(text: str, items: list[Item]) -> None:
    assert parse_flat(text, "backend") == items


def test_nested_lists() -> None:
    assert parse_nested("qcow2,a.0.b=1,a.1.b=2", "driver") == {"driver": "qcow2", "a": [{"b": "1"}, {"b": "2"}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=1,b", "Expected '=' after parameter 'b'"),
        ("=1", "Invalid parameter ''"),
        ("a=1,a.b=2", "Parameters 'a.*' used inconsistently"),
        ("a.b=1,a=2", "Parameters 'a.*' used inconsistently"),
        ("a.0=1,a.b=2", "Parameters 'a.*' used inconsistently"),
        ("a.0=1,a.2=2", "Parameter 'a.1' missing"),
        ("driver=x,help", "Help is not available for this option"),
    ],
)
def test_wrong_nested(text: str, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        parse_nested(text, "driver")
    assert str(raised.value) == message


@pytest.mark.parametrize("name", ["", "1a", "a b", "#x", "ä"])
def test_wrong_identifiers(name: str) -> None:
    with pytest.raises(OptionError, match=r"^Parameter 'id' expects an identifier$"):
        check_identifier(name)
