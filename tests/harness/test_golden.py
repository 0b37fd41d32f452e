"""Goldens: read, written, and compared with answers."""

import pytest

from backcheck.errors import GoldenError
from backcheck.golden.golden_file import (
    answer_of,
    compare,
    compare_answers,
    expected_answer,
    parse_golden,
    render_golden,
)
from backcheck.golden.grammar import parse_line
from backcheck.golden.guards import Context
from backcheck.running.results import read_answer
from backcheck.transcript import Step, Transcript

TEXT = """\
case 112 failed-incremental-keeps-bitmap
confirmed engine, qemu-7.2, qemu-10.0
not [qemu<6.0]: copy offload retries a fault that strikes once (SYNC-13)

-> query-name
<- name=vm

== the target refuses its first write
-> blockdev-backup job-id=job0 device=disk0 target=target0 sync=incremental bitmap=b0
<- {}
job0: created running aborting
job0: BLOCK_JOB_COMPLETED type=backup len=131072 offset=0 speed=0 error="Input/output error"
job0: concluded null
bitmap disk0-node/b0: count=131072 granularity=65536 recording=true busy=false

== where they differ
-> drive-backup device=nope
[qemu<6.0] <- GenericError "Cannot find device=nope nor node_name=nope"
[qemu>=6.0] <- GenericError "Cannot find device='nope' nor node-name='nope'"
[qemu>=6.0 raw] job1: created null

[raw] == only on raw
-> query-jobs
<- []

== end
event SHUTDOWN guest=false
"""

GOLDEN = parse_golden(TEXT, "golden/112.out")


def context(release: str = "10.0", format: str = "qcow2") -> Context:
    return Context(implementation=f"qemu-{release}", release=release, format=format)


def transcript(text: str) -> Transcript:
    """A transcript that says what the text of steps says."""
    steps = read_answer(text, "test")
    return Transcript(steps=[Step(title=step.title, entries=list(step.entries)) for step in steps])


def answer_text(release: str = "10.0", format: str = "qcow2") -> str:
    """What the golden expects there, written out by hand from its text."""
    body = TEXT.split("\n\n", 1)[1]
    old, new = '[qemu<6.0] <- GenericError "Cannot find device=nope', "[qemu>=6.0] <- "
    lines = [line for line in body.split("\n") if not line.startswith(new if release == "5.2" else old)]
    text = "\n".join(lines).replace("[qemu<6.0] ", "").replace("[qemu>=6.0] ", "")
    on_raw = "[qemu>=6.0 raw] job1: created null"
    keep = format == "raw" and release != "5.2"
    text = text.replace(on_raw, "job1: created null" if keep else "").replace("\n\n\n", "\n\n")
    if format == "raw":
        return text.replace("[raw] ", "")
    head, _, rest = text.partition("[raw] == only on raw")
    return head + rest.partition("\n\n")[2]


def test_a_golden_reads_back_to_its_text() -> None:
    assert render_golden(GOLDEN) == TEXT
    assert GOLDEN.header.confirmed == ("engine", "qemu-7.2", "qemu-10.0")
    assert GOLDEN.header.not_on == (("qemu<6.0", "copy offload retries a fault that strikes once (SYNC-13)"),)


@pytest.mark.parametrize("release", ["5.2", "7.2", "8.2", "10.0"])
@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_each_release_and_format_is_compared_with_its_own_lines(release: str, format: str) -> None:
    assert compare(transcript(answer_text(release, format)), TEXT, context(release, format)) is None
    assert compare(
        transcript(answer_text(release, format)), TEXT, context("5.2" if release != "5.2" else "7.2", format)
    )


def test_order_counts_in_a_lane_and_not_across() -> None:
    said = transcript(answer_text())
    said.steps[1].entries.reverse()
    by_lane = sorted(said.steps[1].entries, key=lambda entry: entry.lane)
    for lane in {entry.lane for entry in by_lane}:
        assert [entry for entry in by_lane if entry.lane == lane]
    shuffled = transcript(answer_text())
    entries = shuffled.steps[1].entries
    shuffled.steps[1].entries = [*entries[2:], *entries[:2]]
    assert compare(shuffled, TEXT, context()) is None
    assert compare(said, TEXT, context()) is not None


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("offset=0 speed", "offset=65536 speed", ["- job0: BLOCK_JOB_COMPLETED", "+ job0: BLOCK_JOB_COMPLETED"]),
        ("aborting", "aborting aborting", ["- job0: created running aborting", "+ job0: created running aborting ab"]),
        ("job0: concluded null\n", "", ["- job0: concluded null"]),
        ("event SHUTDOWN guest=false", "event SHUTDOWN guest=true", ["- event", "+ event"]),
        ("== the target refuses its first write", "== another title", ["- == the target", "+ == another"]),
        ("busy=false", "busy=true", ["- bitmap", "+ bitmap"]),
        ("<- {}", "<- []", ["- <- {}", "+ <- []"]),
        ("granularity=65536", "granularity=65536.0", ["- bitmap", "+ bitmap"]),
        ('"Input/output error"', '"Input/output  error"', ["- job0", "+ job0"]),
        ("-> query-name\n<- name=vm\n", "", ["- -> query-name", "- <- name=vm"]),
    ],
)
def test_every_change_of_an_answer_is_shown(old: str, new: str, shown: list[str]) -> None:
    text = answer_text()
    assert old in text
    difference = compare(transcript(text.replace(old, new, 1)), TEXT, context())
    assert difference is not None
    for prefix in shown:
        assert any(line.startswith(prefix) for line in difference.lines), str(difference)


def test_the_order_of_arguments_and_keys_is_no_difference() -> None:
    text = answer_text().replace("sync=incremental bitmap=b0", "bitmap=b0 sync=incremental")
    assert compare(transcript(text), TEXT, context()) is None


def test_an_asserted_field_is_equal_to_an_asserted_field_only() -> None:
    golden = "case 001 x\nconfirmed\n\njob0: X offset=(asserted)\n"
    got = transcript("job0: X offset=5")
    assert compare(got, golden, context())
    assert compare(transcript("job0: X offset=(asserted)"), golden, context()) is None
    assert compare(transcript("job0: X len=5"), golden, context())


def test_empty_steps_count_by_their_title() -> None:
    titled = Transcript(steps=[Step(title=None), Step(title="x"), Step(title="end")])
    assert [step.title for step in answer_of(titled)] == ["x"]
    golden = parse_golden("case 001 x\nconfirmed\n\n== x\n", "g")
    assert compare_answers(expected_answer(golden.steps, context()), answer_of(titled)) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "g:1: a golden begins"),
        ("case 1 x\n", "g:1: a golden begins"),
        ("case 001 x\nconfirmed\nfoo\n", "g:3: 'foo' is not"),
        ("case 001 x\nconfirmed engine, nobody\n", "g:2: 'nobody' confirms nothing"),
        ("case 001 x\n\n-> stop\n", "g:2: the head of a golden says who gave the answer"),
        ("case 001 x\nconfirmed\nnot [zzz]: why\n", "g:3: 'zzz'"),
        ("case 001 x\nconfirmed\n\n== x\nnonsense\n", "g:5: 'nonsense' is no line"),
        ("case 001 x\nconfirmed\n\n[engine] -> x\n", "g:4: 'engine'"),
        ("case 001 x\nconfirmed\n\n[] -> x\n", "g:4: a guard without"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(GoldenError) as caught:
        parse_golden(text, "g")
    assert str(caught.value).startswith(complaint)


def test_a_reason_for_no_confirmation_is_kept() -> None:
    text = "case 001 x\nconfirmed engine\nunconfirmed: no build has the driver\n\n== x\n-> stop\n<- {}\n"
    assert render_golden(parse_golden(text, "g")) == text
    assert parse_line("-> stop").text == "-> stop"


TRANSACTION = """\
case 130 all-or-nothing
confirmed qemu-7.2

[qemu<6.0] -> transaction
     drive-backup job-id=job0 device=disk0 target=t0.img sync=full
     abort
[qemu>=6.0] -> transaction properties.completion-mode=grouped
     drive-backup job-id=job0 device=disk0 target=t0.img sync=full
     abort
<- GenericError "Transaction aborted using Abort action"
"""


def test_a_transaction_is_one_line_over_several() -> None:
    golden = parse_golden(TRANSACTION, "golden/130.out")
    assert render_golden(golden) == TRANSACTION
    (step,) = golden.steps
    assert [line.guard.holds(context("7.2")) for line in step.lines] == [False, True, True]
    told = """\
-> transaction properties.completion-mode=grouped
     drive-backup job-id=job0 device=disk0 target=t1.img sync=full
     abort
<- GenericError "Transaction aborted using Abort action"
"""
    difference = compare(transcript(told), TRANSACTION, context("7.2"))
    assert difference is not None
    assert difference.lines == (
        "  (before the first step)",
        "  -> transaction properties.completion-mode=grouped",
        "-      drive-backup job-id=job0 device=disk0 target=t0.img sync=full",
        "+      drive-backup job-id=job0 device=disk0 target=t1.img sync=full",
        "       abort",
        '  <- GenericError "Transaction aborted using Abort action"',
    )
    assert compare(transcript(told.replace("t1.img", "t0.img")), TRANSACTION, context("7.2")) is None


def test_a_line_that_goes_on_has_a_beginning() -> None:
    with pytest.raises(GoldenError, match=r"golden/130.out:4: '     abort' is no line"):
        parse_golden("case 130 a\nconfirmed\n\n     abort\n", "golden/130.out")
