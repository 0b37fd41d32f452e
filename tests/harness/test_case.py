"""What a case may use, tried on the real QEMU: guest requests, jobs, breakpoints, faults, steps, expectations."""

import errno

import pytest

from backcheck import Case, Extent, FailAlways, FailOnce, JsonValue, KiB, MiB, between
from backcheck.implementation import Implementation
from backcheck.running.result import CaseResult, Outcome
from backcheck.transcript import END_STEP, Command, Entry, Guest, JobEvent, JobStatus, OtherEvent, Output, Reply, State
from tests.harness.conftest import RunStory

SLOW = 64 * KiB
EIO_TEXT = "Input/output error"


def passed(result: CaseResult) -> CaseResult:
    assert result.outcome is Outcome.PASSED, result.reason
    return result


def entries(result: CaseResult, title: str | None) -> list[Entry]:
    """The entries of a step."""
    return [entry for step in result.transcript.steps if step.title == title for entry in step.entries]


def statuses(result: CaseResult, title: str | None) -> list[str]:
    return [entry.status for entry in entries(result, title) if isinstance(entry, JobStatus)]


def test_guest_requests(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB, discard="unmap")
        disk.write(0x5A, offset=4 * KiB, length=64 * KiB)
        disk.read(0x5A, offset=4 * KiB, length=64 * KiB)
        disk.read(0x5B, offset=4 * KiB, length=512, expect="pattern mismatch")
        disk.write_zeroes(offset=8 * KiB, length=4 * KiB, unmap=True)
        disk.read(0, offset=8 * KiB, length=4 * KiB)
        disk.discard(offset=0, length=64 * KiB)
        disk.flush()
        disk.aio_write(0x11, offset=512 * KiB, length=512).wait()
        disk.aio_read(0x11, offset=512 * KiB, length=512).wait()
        t.shutdown()
        assert disk.content.read(4 * KiB, 8 * KiB) == b"\x5a" * 4096 + b"\0" * 4096
        disk.image.expect_clean()

    told = entries(passed(run_story(qemu, story)), None)
    assert [(entry.text, entry.result) for entry in told if isinstance(entry, Guest)] == [
        ("write 0x5a offset=4096 length=65536", "ok"),
        ("read 0x5a offset=4096 length=65536", "ok"),
        ("read 0x5b offset=4096 length=512", "pattern mismatch"),
        ("write-zeroes unmap offset=8192 length=4096", "ok"),
        ("read 0x00 offset=8192 length=4096", "ok"),
        ("discard offset=0 length=65536", "ok"),
        ("flush", "ok"),
        ("write 0x11 offset=524288 length=512", "pending"),
        ("write 0x11 offset=524288 length=512", "ok"),
        ("read 0x11 offset=524288 length=512", "pending"),
        ("read 0x11 offset=524288 length=512", "ok"),
    ]


def test_a_guest_request_that_ends_otherwise_fails_the_case(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB, fault=FailOnce("write", errno.EIO))
        disk.write(0x11, offset=0, length=512, expect=EIO_TEXT)
        disk.write(0x11, offset=0, length=512, expect=EIO_TEXT)

    result = run_story(qemu, story)
    assert result.outcome is Outcome.FAILED
    assert (
        "guest disk0: write 0x11 offset=0 length=512\n  expected: Input/output error\n       got: ok" in result.reason
    )


@pytest.mark.parametrize("format_name", ["qcow2", "raw"])
def test_faults(qemu: Implementation, run_story: RunStory, format_name: str) -> None:
    def story(t: Case) -> None:
        reader = t.drive("reader", size=MiB, fault=FailOnce("read", errno.EIO))
        reader.write(0x11, offset=0, length=MiB)
        reader.read(0x11, offset=0, length=512, expect=EIO_TEXT)
        reader.read(0x11, offset=0, length=512)
        full = t.node("full", size=MiB, fault=FailAlways("write", errno.ENOSPC))
        t.backup(reader, full).wait().expect(error="No space left on device")

    passed(run_story(qemu, story, format_name=format_name))


def test_events_belong_to_the_step_that_awaits_them(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=4 * MiB)
        t.step("start")
        job = t.backup(disk, speed=SLOW, auto_finalize=False, auto_dismiss=False)
        t.expect_before(job.state("running"), job.reply)
        t.step("go on")
        job.set_speed(0).wait()
        job.expect_query(status="pending", len=4 * MiB, offset=between(4 * MiB, 4 * MiB))
        t.step("finalize")
        job.finalize().wait().expect_completed().expect(len=4 * MiB, offset=between(0, 4 * MiB), error=None)
        job.target.expect_identical(disk)
        job.dismiss()

    result = passed(run_story(qemu, story))
    assert statuses(result, "start") == ["created", "running"]
    assert statuses(result, "go on") == ["paused", "running", "waiting", "pending"]
    assert statuses(result, "finalize") == ["concluded"]
    assert statuses(result, END_STEP) == ["null"]
    (ready,) = (entry for entry in entries(result, "go on") if isinstance(entry, JobEvent))
    assert (ready.name, ready.id_key) == ("BLOCK_JOB_PENDING", "id")
    (completed,) = (entry for entry in entries(result, "finalize") if isinstance(entry, JobEvent))
    assert completed.asserted == ("offset",)
    (state,) = (entry for entry in entries(result, "go on") if isinstance(entry, State))
    assert (state.subject, state.asserted) == ("job0", ("offset",))
    assert state.values == {"status": "pending", "len": 4 * MiB, "offset": 4 * MiB}
    assert any(isinstance(entry, Output) and entry.text.startswith("Formatting") for entry in entries(result, "start"))


def test_a_held_request(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB)
        target = t.drive("target0", size=MiB, breakpoints=True)
        disk.write(0x11, offset=0, length=MiB)
        before = disk.content
        with target.holding("write_aio") as held:
            job = t.backup(disk, target)
            held.wait()
            request = disk.aio_write(0x22, offset=0, length=4 * KiB)
            request.expect_waiting()
            job.expect_query(status="running")
        request.wait()
        job.wait().expect_completed()
        t.shutdown()
        target.expect_identical(before)

    passed(run_story(qemu, story))


@pytest.mark.parametrize("command", ["stop", "quit", "human-monitor-command", "drive-backup"])
def test_what_hangs_while_a_request_is_held_is_refused(qemu: Implementation, run_story: RunStory, command: str) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB, breakpoints=True)
        held = disk.hold("write_aio")
        disk.aio_write(0x22, offset=0, length=4 * KiB)
        held.wait()
        t.exchange(command)

    result = run_story(qemu, story)
    assert result.outcome is Outcome.BROKEN
    assert f"{command} waits for ever while the breakpoint hold holds a request: release it first" in result.reason


def test_a_breakpoint_nothing_reaches(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB, breakpoints=True)
        held = disk.hold("write_aio")
        held.release()
        disk.write(0x11, offset=0, length=512)

    passed(run_story(qemu, story))


def test_errors_are_expected_by_text_and_class(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.expect_error("block-job-pause", device="j", error="Block job 'j' not found", error_class="DeviceNotActive")
        t.expect_error("job-pause", id="j", error_class="DeviceNotActive")

    result = run_story(qemu, story)
    assert result.outcome is Outcome.FAILED
    assert result.reason.splitlines()[1:] == [
        "  expected: DeviceNotActive ''",
        "       got: GenericError 'Job not found'",
    ]
    told = entries(result, None)
    commands = [entry for entry in told if isinstance(entry, Command)]
    replies = [entry for entry in told if isinstance(entry, Reply)]
    assert [command.arguments for command in commands] == [{"device": "j"}, {"id": "j"}]
    assert [reply.error_class for reply in replies] == ["DeviceNotActive", "GenericError"]


def test_success_where_an_error_was_expected(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.expect_error("query-status")

    assert run_story(qemu, story).reason.endswith("expected: error ''\n       got: success")


def test_a_refused_start_owns_what_it_said(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB)
        t.step("refused")
        t.expect_error("drive-backup", job_id="j", device=disk.id, target="t.img", sync="full", speed=-1)
        t.step("more")

    assert statuses(passed(run_story(qemu, story)), "refused") == ["created", "null"]


def test_verbs(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=4 * MiB)
        job = t.backup(disk, speed=SLOW)
        job.pause().reach("paused")
        job.expect_refused("pause", "block-job")
        job.resume("block-job").reach("running")
        job.expect_refused("complete")
        job.cancel("block-job", force=True).wait().expect_cancelled()
        t.expect("listed", job.is_listed(), False)

    result = passed(run_story(qemu, story))
    names = [entry.name for entry in entries(result, None) if isinstance(entry, Command)]
    assert names == [
        "drive-backup",
        "job-pause",
        "block-job-pause",
        "block-job-resume",
        "job-complete",
        "block-job-cancel",
    ]


def test_an_event_may_be_looked_at_later(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        job = t.backup(t.drive("disk0", size=MiB)).wait()
        final = job.event("BLOCK_JOB_COMPLETED", device="job0", len=MiB)
        t.expect_before(job.state("pending"), final)
        t.expect_before(final, job.state("concluded"))

    passed(run_story(qemu, story))


@pytest.mark.parametrize("awaited", ["paused", "BLOCK_JOB_ERROR"])
def test_nothing_is_awaited_of_a_job_that_has_ended(qemu: Implementation, run_story: RunStory, awaited: str) -> None:
    def story(t: Case) -> None:
        job = t.backup(t.drive("disk0", size=MiB)).wait()
        if awaited.isupper():
            job.event(awaited)
        job.reach("paused")

    result = run_story(qemu, story)
    assert result.outcome is Outcome.FAILED
    assert f"job0\n  expected: {awaited} from here on\n       got: it has ended" in result.reason


def test_typed_queries(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=4 * MiB)
        job = t.backup(disk, speed=SLOW)
        assert job.wait_offset() == job.offset() > 0
        assert t.find_node(file="disk0.img", drv="qcow2").node_name == "disk0-node"
        assert t.inserted(disk)["drv"] != "qcow2"
        assert "disk0-node" in [node["node-name"] for node in t.nodes()]
        schema = t.command_schema("blockdev-backup")
        assert schema is not None
        assert (schema.arguments["sync"].optional, schema.arguments["speed"].type) == (False, "int")
        assert t.command_schema("no-such-command") is None
        t.find_node(drv="file")

    result = run_story(qemu, story)
    assert result.outcome is Outcome.FAILED
    assert 'query-named-block-nodes\n  expected: one with drv="file"\n       got: 2' in result.reason


def test_images(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        base = t.image("base.img", size=MiB)
        base.write(0x11)
        top = t.image("top.img", backing=base, options={"cluster_size": "64k"})
        top.write(0x22, offset=64 * KiB, length=64 * KiB)
        top.write_zeroes(offset=128 * KiB, length=64 * KiB)
        top.expect_identical(base.content.written(0x22, 64 * KiB, 64 * KiB).written(0, 128 * KiB, 64 * KiB))
        top.expect_clean()
        expected = [
            Extent(start=0, length=64 * KiB, depth=1, zero=False, data=True),
            Extent(start=64 * KiB, length=64 * KiB, depth=0, zero=False, data=True),
            Extent(start=128 * KiB, length=64 * KiB, depth=0, zero=True, data=False),
            Extent(start=192 * KiB, length=MiB - 192 * KiB, depth=1, zero=False, data=True),
        ]
        top.expect_map(expected)
        assert top.record_map() == expected
        assert top.info()["virtual-size"] == MiB

    passed(run_story(qemu, story))


@pytest.mark.parametrize("format_name", ["qcow2", "raw"])
def test_a_wrong_byte_is_found_and_placed(qemu: Implementation, run_story: RunStory, format_name: str) -> None:
    def story(t: Case) -> None:
        image = t.image("image.img", size=3 * MiB)
        expected = image.content
        image.write(0x22, offset=2 * MiB + 12345, length=1)
        image.expect_identical(expected)

    result = run_story(qemu, story, format_name=format_name)
    assert result.outcome is Outcome.FAILED
    assert f"image.img at offset {2 * MiB + 12345}\n  expected: byte 0x00\n       got: byte 0x22" in result.reason


def test_sizes_that_are_no_whole_sectors(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=1_000_000)
        disk.write(0x11, offset=999_936, length=512)
        job = t.drive_backup(disk).wait().expect(len=1_048_576)
        job.target.expect_identical(disk)

    passed(run_story(qemu, story, format_name="raw"))


def test_nodes_after_the_start(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB)
        disk.write(0x11, offset=0, length=MiB)
        late = t.node("late", size=MiB)
        t.node("null0", tree={"driver": "null-co", "size": MiB})
        t.blockdev_backup("disk0-node", late, job_id="a").wait().expect_completed()
        t.blockdev_backup(disk, "null0", job_id="b").wait().expect_completed()
        t.expect_state("late", t.node_info("late"), drv=t.format, ro=False)
        assert t.drive_info(disk)["device"] == "disk0"
        assert any("doesn't provide information about the block size" in line for line in t.record_stderr())
        t.shutdown()
        late.expect_identical(disk)

    result = passed(run_story(qemu, story))
    assert [entry.name for entry in entries(result, None) if isinstance(entry, Command)] == ["blockdev-backup"] * 2


def test_quit_as_part_of_the_story(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        job = t.backup(t.drive("disk0", size=4 * MiB), speed=SLOW)
        t.step("quit")
        t.quit()
        job.expect_cancelled()

    result = passed(run_story(qemu, story))
    assert statuses(result, "quit")[-3:] == ["aborting", "concluded", "null"]
    assert result.transcript.steps[-1].title == "quit"


def test_the_machine_s_own_end_is_in_no_step(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.backup(t.drive("disk0", size=4 * MiB), speed=SLOW)

    result = passed(run_story(qemu, story))
    assert statuses(result, END_STEP) == ["paused", "running"]


def test_a_job_that_may_still_talk_at_the_end(fake: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        running = ["JOB_STATUS_CHANGE", {"id": "job0", "status": "running"}]
        t.job("job0", t.exchange("events", events=[running]))

    result = run_story(fake, story)
    assert result.outcome is Outcome.BROKEN
    assert "job0 is running and may go on by itself, so what it says is not certain: job0.wait()" in result.reason


def test_a_drained_section_before_the_reply_pauses_nothing(fake: Implementation, run_story: RunStory) -> None:
    def changes(*states: str) -> list[JsonValue]:
        return [["JOB_STATUS_CHANGE", {"id": "job0", "status": status}] for status in states]

    def story(t: Case) -> None:
        job = t.job("job0", t.exchange("events", events=changes("created", "running")))
        job.pause()
        t.exchange("events", events=changes("paused"))
        t.expect_before(job.verb_reply, job.reach("paused"))

    assert statuses(passed(run_story(fake, story)), None) == ["created", "running", "paused", "running", "paused"]


def test_events_that_do_not_name_their_job_are_no_job_s(fake: Implementation, run_story: RunStory) -> None:
    wrong: list[JsonValue] = [
        ["JOB_STATUS_CHANGE", {"id": "job0"}],
        ["BLOCK_JOB_PENDING", {"device": "job0"}],
        ["STOP", []],
    ]

    def story(t: Case) -> None:
        t.exchange("events", events=wrong)

    seen = [entry for entry in entries(passed(run_story(fake, story)), END_STEP) if isinstance(entry, OtherEvent)]
    assert [(entry.name, entry.data) for entry in seen] == [
        ("JOB_STATUS_CHANGE", {"id": "job0"}),
        ("BLOCK_JOB_PENDING", {"device": "job0"}),
        ("STOP", {"data": []}),
    ]


def test_a_request_outside_the_disk(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.drive("disk0", size=MiB).write(0x11, offset=2 * MiB, length=512)

    result = run_story(qemu, story)
    assert (result.outcome, result.reason.splitlines()[-1].strip()) == (Outcome.FAILED, "got: Input/output error")


def test_each_wait_for_an_event_gives_the_next(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.drive("disk0", size=MiB)
        moments = []
        for command in ("cont", "stop", "cont"):
            t.step(f"{len(moments)} {command}")
            t.qmp(command)
            moments.append(t.wait_event("STOP" if command == "stop" else "RESUME"))
        t.expect_before(moments[0], moments[1])
        t.expect_before(moments[1], moments[2])

    result = passed(run_story(qemu, story))
    events = [
        (step.title, entry.name)
        for step in result.transcript.steps
        for entry in step.entries
        if isinstance(entry, OtherEvent)
    ]
    assert events == [("0 cont", "RESUME"), ("1 stop", "STOP"), ("2 cont", "RESUME")]
