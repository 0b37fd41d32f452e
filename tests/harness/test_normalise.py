"""Normalisers: what they take away, what they never touch, and what they do with an answer of the wrong type."""

from dataclasses import replace

import pytest

from backcheck.errors import ExpectationFailed
from backcheck.golden.grammar import parse_line
from backcheck.normalise import NORMALISERS, normalise
from backcheck.transcript import Entry, JobEvent, Reply, State, Step, Transcript


def transcript(*lines: str, **more: object) -> Transcript:
    """A conversation of one step, from a golden's lines, in the order in which things happened."""
    parsed = [entry for line in lines for entry in parse_line(line).entries]
    entries: list[Entry] = [replace(entry, at=at) for at, entry in enumerate(parsed, 1)]
    return Transcript(steps=[Step(title="x", entries=entries)], **more)  # type: ignore[arg-type]


def job_lane(*lines: str, **more: object) -> list[str]:
    """What normalising leaves of job0's states and events."""
    entries = normalise(transcript(*lines, **more)).steps[0].entries
    return [getattr(entry, "status", None) or getattr(entry, "name", "") for entry in entries if entry.lane == "job0"]


def test_they_have_names_and_an_order() -> None:
    assert [each.name for each in NORMALISERS] == ["timestamps", "paths", "generated-nodes", "pairs", "asserted"]


class TestPairs:
    """`paused running`, dropped only where a drained section alone can be the cause."""

    def test_a_drained_section_leaves_no_trace(self) -> None:
        assert job_lane("job0: created running paused running paused running waiting") == [
            "created",
            "running",
            "waiting",
        ]

    def test_a_case_about_pairs_keeps_them(self) -> None:
        assert job_lane("job0: running paused running", keep_pairs=True) == ["running", "paused", "running"]

    @pytest.mark.parametrize(
        ("pause", "resume"),
        [
            ("-> job-pause id=job0", "-> job-resume id=job0"),
            ("-> block-job-pause device=job0", "-> block-job-resume device=job0"),
            (
                '-> human-monitor-command command-line="block_job_pause job0"',
                '-> human-monitor-command command-line="block_job_resume job0"',
            ),
        ],
    )
    def test_a_verb_keeps_its_pair_and_no_other(self, pause: str, resume: str) -> None:
        lane = job_lane(
            "job0: created running paused running",
            pause,
            "job0: paused",
            "<- {}",
            resume,
            "job0: running",
            "<- {}",
            "job0: paused running waiting",
        )
        assert lane == ["created", "running", "paused", "running", "waiting"]

    def test_a_verb_for_another_job_keeps_nothing(self) -> None:
        assert job_lane("-> job-pause id=job1", "<- {}", "job0: running paused running") == ["running"]

    def test_a_refused_pause_keeps_nothing(self) -> None:
        lane = job_lane(
            "job0: running",
            "-> job-pause id=job0",
            '<- GenericError "Job is not ready"',
            "job0: paused running",
        )
        assert lane == ["running"]

    def test_a_pause_during_a_drained_section_is_one_pair(self) -> None:
        lane = job_lane(
            "job0: running paused",
            "-> job-pause id=job0",
            "<- {}",
            "-> job-resume id=job0",
            "job0: running",
            "<- {}",
        )
        assert lane == ["running", "paused", "running"]

    def test_pairs_of_a_drained_section_that_the_pause_waits_for(self) -> None:
        lane = job_lane(
            "job0: running",
            "-> job-pause id=job0",
            "job0: paused running paused running paused",
            "<- {}",
            "-> job-resume id=job0",
            "job0: running",
            "<- {}",
        )
        assert lane == ["running", "paused", "running"]

    def test_what_is_paused_and_runs_again_by_itself_shows(self) -> None:
        lane = job_lane("job0: running", "-> job-pause id=job0", "<- {}", "job0: paused running waiting")
        assert lane == ["running", "paused", "running", "waiting"]

    def test_a_resume_that_comes_before_the_job_paused_closes(self) -> None:
        lane = job_lane(
            "job0: running",
            "-> job-pause id=job0",
            "<- {}",
            "-> job-resume id=job0",
            "<- {}",
            "job0: paused running",
        )
        assert lane == ["running"]

    def test_a_stop_by_an_error_keeps_its_pair(self) -> None:
        lane = job_lane(
            "job0: running",
            "job0: BLOCK_JOB_ERROR operation=write action=stop",
            "job0: paused",
            "-> job-resume id=job0",
            "<- {}",
            "job0: running paused running",
        )
        assert lane == ["running", "BLOCK_JOB_ERROR", "paused", "running"]

    def test_an_error_that_is_reported_keeps_none(self) -> None:
        lane = job_lane("job0: BLOCK_JOB_ERROR operation=write action=report", "job0: paused running aborting")
        assert lane == ["BLOCK_JOB_ERROR", "aborting"]

    def test_a_cancelled_pause_keeps_the_running_before_the_end(self) -> None:
        lane = job_lane(
            "job0: running",
            "-> job-pause id=job0",
            "job0: paused",
            "<- {}",
            "-> job-cancel id=job0",
            "job0: running aborting",
        )
        assert lane == ["running", "paused", "running", "aborting"]

    def test_a_shutdown_resumes_a_paused_job_once(self) -> None:
        lane = job_lane(
            "job0: created running",
            "-> job-pause id=job0",
            "job0: paused",
            "<- {}",
            "event SHUTDOWN guest=false reason=host-signal",
            "job0: running paused running paused running aborting",
        )
        assert lane == ["created", "running", "paused", "running", "aborting"]

    def test_a_pause_without_an_end_stays(self) -> None:
        assert job_lane("job0: created running paused") == ["created", "running", "paused"]

    def test_an_event_in_between_makes_it_no_pair(self) -> None:
        lane = job_lane("job0: paused", "job0: BLOCK_JOB_ERROR operation=read action=ignore", "job0: running")
        assert lane == ["paused", "BLOCK_JOB_ERROR", "running"]

    def test_a_job_that_ended_hands_nothing_on_to_the_next_of_its_id(self) -> None:
        lane = job_lane(
            "-> job-pause id=job0",
            "<- {}",
            "job0: aborting concluded null",
            "job0: created running paused running",
        )
        assert lane == ["aborting", "concluded", "null", "created", "running"]


def test_paths_and_sockets_read_by_their_names_longest_first() -> None:
    before = transcript(
        "-> drive-backup target=/tmp/bc-1/t.qcow2",
        "<- GenericError \"Could not open '/tmp/bc-1/t.qcow2': No such file\"",
        "stdout \"Formatting '/tmp/bc-1/t.qcow2'\"",
        paths={"/tmp/bc-1": "DIR", "/tmp/bc-1/t.qcow2": "t.qcow2"},
    )
    texts = [str(entry) for entry in normalise(before).steps[0].entries]
    assert all("bc-1" not in text and "t.qcow2" in text for text in texts)
    assert "'t.qcow2': No such file" in texts[1]


def test_generated_node_names_lose_their_number_and_other_names_nothing() -> None:
    before = transcript('<- [0].node-name="#block123" [1].node-name=block123', "<- GenericError \"Node '#block9'\"")
    first, second = normalise(before).steps[0].entries
    assert isinstance(first, Reply)
    assert isinstance(second, Reply)
    assert first.value == [{"node-name": "#block"}, {"node-name": "block123"}]
    assert second.description == "Node '#block'"


def test_timestamps_go_and_one_of_the_wrong_type_is_a_wrong_answer() -> None:
    good = transcript("<- timestamp.seconds=1 timestamp.microseconds=2 a=1")
    assert normalise(good).steps[0].entries == [Reply(monitor="qmp", value={"a": 1}, at=1)]
    for wrong in ("timestamp=5", "timestamp.seconds=1", 'timestamp.seconds="1" timestamp.microseconds=2'):
        with pytest.raises(ExpectationFailed, match="timestamp"):
            normalise(transcript(f"<- {wrong}"))


def test_asserted_values_go_and_absent_ones_stay_away() -> None:
    event = JobEvent(job="job0", name="X", data={"offset": 5}, asserted=("offset", "len"), at=1)
    state = State(subject="x", values={"count": 3, "busy": True}, asserted=("count",), at=2)
    entries = normalise(Transcript(steps=[Step(title=None, entries=[event, state])])).steps[0].entries
    assert entries == [
        JobEvent(job="job0", name="X", data={"offset": None}, asserted=("offset",), at=1),
        State(subject="x", values={"count": None, "busy": True}, asserted=("count",), at=2),
    ]


def test_an_asserted_key_of_a_reply_that_is_no_object_is_a_wrong_answer() -> None:
    with pytest.raises(ExpectationFailed, match="an object"):
        normalise(Transcript(steps=[Step(title=None, entries=[Reply(monitor="qmp", value=5, asserted=("a",), at=1)])]))


def test_what_rules_speak_of_is_never_touched() -> None:
    lines = [
        "-> block-job-set-speed device=job0 speed=1",
        "<- DeviceNotActive \"Block job 'x' not found\"",
        'job0: BLOCK_JOB_COMPLETED type=backup len=3 offset=2 speed=1 error="Input/output error"',
        "guest disk0: write 0x5a offset=0 length=512 -> No space left on device",
        "bitmap b0: count=5 granularity=65536",
    ]
    before = transcript(*lines)
    assert normalise(before) == before
