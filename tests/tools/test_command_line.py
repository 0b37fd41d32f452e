"""Options of a command line: taken as glibc's getopt_long takes them; Python's getopt is the witness."""

from __future__ import annotations

import getopt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.qemu_io.arguments import InvalidOption, parse_options, split_words
from backcheck_engine.tools.command_line import CommandLineError, Option, parse
from backcheck_engine.tools.image_options import parse_options as parse_list

OPTIONS = (
    Option(long="quiet", short="q", help=""),
    Option(long="format", short="f", value="FMT", help=""),
    Option(long="force-share", short="U", help=""),
    Option(long="output", value="KIND", help=""),
)
SHORT = ["-q", "-f", "-qU", "-fraw", "-qf", "-x"]
LONG = ["--quiet", "--quiet=1", "--format", "--format=x", "--fo", "--for", "--force", "--out=json", "--zz"]
WORDS = st.sampled_from([*SHORT, *LONG, "-", "--", "a", "b"])


@given(st.lists(WORDS, max_size=5))
def test_options_are_taken_as_getopt_takes_them(words: list[str]) -> None:
    try:
        pairs, operands = getopt.gnu_getopt(words, "qf:U", ["quiet", "format=", "force-share", "output="])
    except getopt.GetoptError:
        with pytest.raises(CommandLineError):
            parse(words, OPTIONS)
        return
    given_options = parse(words, OPTIONS)
    names = {"-q": "quiet", "-f": "format", "-U": "force-share"}
    expected: dict[str, list[str]] = {}
    for name, value in pairs:
        expected.setdefault(names.get(name, name.removeprefix("--")), []).append(value)
    assert given_options.values == expected
    assert given_options.operands == operands


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-x"], "invalid option -- 'x'"),
        (["-f"], "option requires an argument -- 'f'"),
        (["--format"], "option '--format' requires an argument"),
        (["--zz=1"], "unrecognized option '--zz'"),
        (["--quiet=1"], "option '--quiet' doesn't allow an argument"),
        (["--fo"], "option '--fo' is ambiguous; possibilities: '--format' '--force-share'"),
    ],
)
def test_complaints_are_getopts(words: list[str], message: str) -> None:
    with pytest.raises(CommandLineError) as caught:
        parse(words, OPTIONS)
    assert str(caught.value) == message


def test_a_subcommands_options_are_left_to_it() -> None:
    given_options = parse(["--quiet", "info", "--zz", "-x"], OPTIONS, stop_at_operand=True)
    assert given_options.values == {"quiet": [""]}
    assert given_options.operands == ["info", "--zz", "-x"]


@given(st.lists(st.sampled_from(["-q", "-P", "-P5", "-qz", "-x", "0", "64k", "--", "-"]), max_size=5))
def test_options_of_qemu_io_commands(words: list[str]) -> None:
    try:
        pairs, operands = getopt.gnu_getopt(words, "qP:z")
    except getopt.GetoptError:
        with pytest.raises(InvalidOption):
            parse_options(words, "qP:z")
        return
    arguments = parse_options(words, "qP:z")
    assert arguments.options == {name.removeprefix("-"): value for name, value in pairs}
    assert arguments.operands == operands


def test_nothing_quotes_in_a_qemu_io_line() -> None:
    assert split_words("  write  -P 5 '0 1'") == ["write", "-P", "5", "'0", "1'"]


@pytest.mark.parametrize(
    ("text", "implied_key", "options"),
    [
        ("", None, {}),
        ("driver=qcow2,file.filename=x", None, {"driver": "qcow2", "file.filename": "x"}),
        ("file.filename=a,,b,driver=raw", None, {"file.filename": "a,b", "driver": "raw"}),
        ("name", "file", {"file": "name"}),
        ("name,read-only", "file", {"file": "name", "read-only": "on"}),
        ("lazy,noquick", None, {"lazy": "on", "quick": "off"}),
        ("a=b=c", None, {"a": "b=c"}),
        ("a=1,a=2", None, {"a": "2"}),
    ],
)
def test_option_lists(text: str, implied_key: str | None, options: dict[str, str]) -> None:
    assert parse_list(text, implied_key) == options
