"""Options: typed values and strings are read alike, what is not taken is left, errors are QEMU's."""

import pytest

from backcheck_engine import release
from backcheck_engine.block.filenames import combine, is_absolute, protocol_of, relative_to_image
from backcheck_engine.block.options import Options, parse_bool, parse_number, parse_size
from backcheck_engine.errors import OptionError
from backcheck_engine.json_value import JsonValue


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("4k", 4096),
        ("4K", 4096),
        ("1.5M", 3 << 19),
        ("0x10", 16),
        ("2T", 2 << 40),
        ("15E", 15 << 60),
        ("0", 0),
        (" 7b", 7),
    ],
)
def test_sizes(value: JsonValue, size: int) -> None:
    assert parse_size("size", value) == size


@pytest.mark.parametrize("value", ["", "x", "4kk", "-1", -1, True, 1.5, "1.5.5", "k", None, [], "٣"])
def test_what_is_no_size(value: JsonValue) -> None:
    with pytest.raises(OptionError, match=r"^Parameter 'size' expects a non-negative number below 2\^64$"):
        parse_size("size", value)


@pytest.mark.parametrize(
    ("value", "number"), [(5, 5), ("5", 5), ("0x1f", 31), ("010", 8), ("-1", 2**64 - 1), (-1, 2**64 - 1)]
)
def test_numbers(value: JsonValue, number: int) -> None:
    assert parse_number("n", value) == number


@pytest.mark.parametrize("value", ["", "x", "5x", "1.5", True, None])
def test_what_is_no_number(value: JsonValue) -> None:
    with pytest.raises(OptionError, match=r"^Parameter 'n' expects a number$"):
        parse_number("n", value)


def test_booleans() -> None:
    for yes in (True, "on", "yes", "true", "y"):
        assert parse_bool("b", yes)
    for no in (False, "off", "no", "false", "n"):
        assert not parse_bool("b", no)
    with pytest.raises(OptionError, match=r"^Parameter 'b' expects 'on' or 'off'$"):
        parse_bool("b", "maybe")


def test_nested_options_are_flat_and_are_consumed() -> None:
    options = Options({"a": {"b": 1, "c": {"d": "x"}}, "l": [{"n": 1}, {"n": 2}], "s": ["p", "q"], "e": {}, "z": None})
    assert options.keys() == ["a.b", "a.c.d", "l.0.n", "l.1.n", "s.0", "s.1", "e", "z"]
    nested = options.children("a")
    assert nested.take_int("b") == 1
    assert nested.children("c").take_str("d") == "x"
    assert [item.take_int("n") for item in options.take_list("l")] == [1, 2]
    assert options.take_str_list("s") == ["p", "q"]
    assert options.take_null("z")
    assert not options.take_null("e")
    assert options.keys() == ["e"]


def test_bad_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"^Parameter 'm' does not accept value 'x'$"):
        Options({"m": "x"}).take_enum("m", ("a", "b"), "a")
    monkeypatch.setattr(release, "current", lambda: release.QEMU_5_2)
    with pytest.raises(OptionError, match=r"^Invalid parameter 'x'$"):
        Options({"m": "x"}).take_enum("m", ("a", "b"), "a")


@pytest.mark.parametrize(
    ("filename", "protocol", "absolute"),
    [
        ("a", None, False),
        ("/a:b", None, True),
        ("a/b:c", None, False),
        ("nbd:host", "nbd", False),
        ("file:/a", "file", True),
        (":x", "", False),
        ("", None, False),
    ],
)
def test_parts_of_filenames(filename: str, protocol: str | None, absolute: bool) -> None:
    assert protocol_of(filename) == protocol
    assert is_absolute(filename) == absolute


@pytest.mark.parametrize(
    ("base", "filename", "combined"),
    [
        ("/d/o.qcow2", "b", "/d/b"),
        ("o.qcow2", "b", "b"),
        ("s/o.qcow2", "../b", "s/../b"),
        ("s/o.qcow2", "/b", "/b"),
        ("file:s/o", "b", "file:s/b"),
        ("file:o", "b", "file:b"),
        ("o", "nbd:x", "nbd:x"),
    ],
)
def test_backing_names_are_relative_to_their_overlay(base: str, filename: str, combined: str) -> None:
    assert relative_to_image(base, filename) == combined
    if protocol_of(filename) is None:
        assert combine(base, filename) == combined
