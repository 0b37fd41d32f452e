"""The harness's human monitor: what a terminal shows, what a golden has of it, and an operator at the real QEMU."""

import pytest

from backcheck import Case, Key, MiB
from backcheck.implementation import Implementation
from backcheck.running.result import Outcome
from backcheck.story.terminal import readable, shown_lines
from backcheck.transcript import Command, Reply
from tests.harness.conftest import RunStory
from tests.harness.stories import entries, passed, statuses


@pytest.mark.parametrize(
    ("text", "typed", "expected"),
    [
        ("ab\x1b[D\x1b[D\x1b[K\r\n", False, "ab<left 2><erase>\r\n"),
        ("\x01\x7f\t\r\x1b[3~\x1b[99~", True, "^A<backspace><tab><enter><delete>^[[99~"),
        ("\x1b[C", False, "<right>"),
        ("plain", True, "plain"),
    ],
)
def test_control_characters_have_names(text: str, typed: bool, expected: str) -> None:
    assert readable(text, typed=typed) == expected


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one\r\ntwo", ["one", "two"]),
        ("abc\x1b[D\x1b[DX", ["aXc"]),
        ("abc\x1b[D\x1b[D\x1b[K", ["a"]),
        ("\x1b[D\x1b[Cab\rX\r\n", ["Xab", ""]),
        ("a\x1b[C\x1b[Cb", ["a  b"]),
    ],
)
def test_a_terminal_shows_what_a_terminal_shows(text: str, lines: list[str]) -> None:
    assert shown_lines(text) == lines


def test_keys_with_control() -> None:
    assert Key.control("a") == "\x01"


def test_an_operator_types_at_the_real_qemu(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB)
        human = t.human_monitor("operator")
        assert human.banner().endswith("monitor - type 'help' for more information")
        assert human.run("drive_backup -f disk0 target.img") == ""
        t.job("disk0", human.last).wait().expect_completed()
        assert human.edit("info block-xxxx", Key.LEFT, Key.control("W"), *[Key.DELETE] * 4, "block-j", Key.TAB) == [
            "(qemu) info block-jobs ",
            "No active jobs",
        ]
        t.restart()
        t.step("another machine, the same operator")
        assert human.run("info block-jobs") == "No active jobs\r\n"
        t.drive_backup(disk, "other.img", sync="none")
        human.run("block_job_pause job0")
        t.step("the end")
        t.quit(human)

    result = passed(run_story(qemu, story))
    typed = [entry.name for entry in entries(result) if isinstance(entry, Command)]
    assert typed == ["drive_backup -f disk0 target.img", f"info block-xxxx<left>^W{'<delete 4>'}block-j<tab>"]
    answers = [entry.value for entry in entries(result) if isinstance(entry, Reply)]
    assert answers[0] == ""
    assert str(answers[1]).endswith("\r\nNo active jobs\r\n(qemu) ")
    assert statuses(result, "the end")[-1] == "null"


def test_letters_only_and_lines_that_exist(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.human_monitor("operator").run("info\tname")

    result = run_story(qemu, story)
    assert result.outcome is Outcome.BROKEN
    assert "edit()" in str(result.reason)

    def nothing_typed(t: Case) -> None:
        assert t.human_monitor("operator").last

    assert "has not typed" in str(run_story(qemu, nothing_typed).reason)
