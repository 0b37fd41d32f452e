"""What a case may use of a recording target and of NBD programs, tried on the real QEMU; and what does not pass."""

import errno
import subprocess

import pytest

from backcheck import Case, KiB, MiB
from backcheck.implementation import Implementation
from backcheck.running.result import Outcome
from backcheck.story.recording_target import RecordingTarget
from backcheck.transcript import State
from tests.harness.conftest import RunStory
from tests.harness.stories import entries, passed

SLOW = 64 * KiB


def write(t: Case, target: RecordingTarget, *commands: str) -> None:
    """Requests of a client beside the machine."""
    done = t.io("-f", "raw", "-t", "writeback", *(part for command in commands for part in ("-c", command)), target.url)
    assert "failed" not in done.stdout + done.stderr


def server(t: Case, size: int = MiB) -> RecordingTarget:
    return t.recording_target("target0", size=size, node=False)


def test_requests_and_their_golden(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        target = server(t)
        write(
            t,
            target,
            "write -P 0x11 0 64k",
            "write -P 0x11 64k 64k",
            "write -z 128k 64k",
            "write -f -P 2 0 512",
            "flush",
        )
        target.record_written()
        target.record_requests("write", "flush")
        first = target.received("write")[0]
        t.expect("first", [first.operation, first.offset, first.length, first.pattern], ["write", 0, 64 * KiB, 0x11])
        t.expect_before(first.answered, target.received("flush")[-1].arrived)
        target.forget()
        write(t, target, "write -P 3 512k 512")
        target.expect_order("write")
        target.record_written()

    told = [entry.values for entry in entries(passed(run_story(qemu, story))) if isinstance(entry, State)]
    assert told[0] == {"request": "write", "offset": 0, "length": 512, "pattern": 2, "times": 1}
    assert told[1:3] == [
        {"request": "write", "offset": 0, "length": 128 * KiB, "pattern": 0x11, "times": 1},
        {"request": "write-zeroes", "offset": 128 * KiB, "length": 64 * KiB, "times": 1},
    ]
    assert [(values["request"], values.get("fua")) for values in told[3:6]] == [
        ("write", None),
        ("write", None),
        ("write", True),
    ]
    assert told[-1] == {"request": "write", "offset": 512 * KiB, "length": 512, "pattern": 3, "times": 1}


WRONG = {
    "never": (["write 0 512k"], "524288+524288 never"),
    "twice": (["write 0 1M", "write -z 64k 64k"], "65536+65536 twice"),
    "a part": (["write 0 512k", "write 512k 4k", "write 516k 508k"], "write 0xcd offset=524288 length=4096"),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_not_written_once(qemu: Implementation, run_story: RunStory, how: str) -> None:
    commands, told = WRONG[how]

    def story(t: Case) -> None:
        target = server(t)
        write(t, target, *commands)
        target.expect_written_once()

    result = run_story(qemu, story)
    assert result.outcome is Outcome.FAILED
    assert told in result.reason


def test_what_is_refused_or_touched(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        target = server(t)
        target.fail("write", errno.ENOSPC, offset=512 * KiB, times=None)
        for _ in range(2):
            assert "No space left on device" in t.io("-f", "raw", "-c", "write 768k 4k", target.url).stdout
        target.expect_untouched()
        target.obey()
        write(t, target, "write 768k 4k")
        target.expect_untouched((0, 768 * KiB), (772 * KiB, 252 * KiB))
        target.expect_untouched((771 * KiB, 64 * KiB))

    result = run_story(qemu, story)
    assert result.outcome is Outcome.FAILED
    assert "expected: 789504+65536 untouched\n       got: write 0xcd offset=786432 length=4096" in result.reason


@pytest.mark.parametrize("flush", [False, True])
def test_what_was_flushed(qemu: Implementation, run_story: RunStory, flush: bool) -> None:
    def story(t: Case) -> None:
        target = server(t)
        held = target.hold("flush", times=None) if not flush else None
        request = ["-c", "write 0 4k", "-c", "aio_flush" if held else "flush"]
        if held:
            target.disconnect_at("flush")
            held.release()
        t.io("-f", "raw", "-t", "writeback", *request, target.url)
        target.expect_flushed()

    result = run_story(qemu, story)
    assert result.outcome is (Outcome.PASSED if flush else Outcome.FAILED), result.reason


def test_a_wrong_byte_is_found(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        target = server(t, 3 * MiB)
        before = t.existing_image("none", format="raw").content.resized(3 * MiB)
        target.expect_identical(before)
        write(t, target, "write -P 7 2100001 1")
        target.expect_identical(before)

    result = run_story(qemu, story)
    assert "target0 at offset 2100001\n  expected: byte 0x00\n       got: byte 0x07" in result.reason


def test_what_is_held_must_be_released(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=4 * MiB)
        disk.write(0x11, offset=0, length=4 * MiB)
        target = t.recording_target("target0", size=4 * MiB)
        held = target.hold("write", offset=3 * MiB)
        t.backup(disk, target, speed=SLOW)
        held.expect_none()
        disk.aio_write(0x22, offset=3 * MiB, length=512)
        held.wait()
        disk.write(0x22, offset=0, length=512)

    result = run_story(qemu, story)
    assert result.outcome is Outcome.BROKEN
    assert "waits for ever while target0 holds a request" in result.reason


def test_what_a_target_cannot_do(fake: Implementation, run_story: RunStory) -> None:
    def misused(t: Case) -> None:
        server(t).hold("wirte")  # type: ignore[arg-type]

    assert "a request is read, write, flush, trim, write-zeroes, block-status, change, not 'wirte'" in (
        run_story(fake, misused).reason
    )

    def offered(t: Case) -> None:
        t.recording_target("target0", size=MiB, without=("speed",))

    assert "'speed' cannot be left out" in run_story(fake, offered).reason

    def failing(t: Case) -> None:
        server(t).fail("write", 12345)

    assert "12345 is not an errno" in run_story(fake, failing).reason

    def named(t: Case) -> None:
        server(t)
        server(t)

    assert "there is a target0 already" in run_story(fake, named).reason


@pytest.mark.parametrize("again", [True, False])
def test_what_a_qcow2_target_stores(qemu: Implementation, run_story: RunStory, again: bool) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB)
        disk.write(0x11, offset=0, length=512 * KiB)
        target = t.recording_target("target0", size=MiB, format="qcow2", options={"cluster_size": "64k"})
        t.backup(disk, target, compress=True).wait().expect_completed()
        t.shutdown()
        stored = target.expect_stored_once()
        assert [(item.guest_offset, item.compressed) for item in stored] == [(at * 64 * KiB, True) for at in range(8)]
        target.expect_identical(disk)
        target.save().expect_clean()
        host = stored[3].host_offset
        same = target.save().path.read_bytes()[host]
        write(t, target, f"write -P {same} {host} 1")
        if again:
            target.expect_stored_once()
        write(t, target, f"write -P {same ^ 0xFF} {host} 1")
        target.expect_identical(disk)

    result = run_story(qemu, story)
    assert result.outcome is Outcome.FAILED
    told = "expected: data written once" if again else "target0.saved: the compressed cluster at host offset"
    assert told in result.reason


def test_a_target_lives_longer_than_a_machine(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        target = server(t)
        disk = t.drive_over("disk0", target)
        disk.write(0x11, offset=0, length=64 * KiB)
        t.kill()
        disk.read(0x11, offset=0, length=64 * KiB)
        t.restart()
        disk.read(0x11, offset=0, length=64 * KiB)
        target.expect_identical(disk)
        assert {request.connection for request in target.requests} >= {0, 1}

    passed(run_story(qemu, story))


def test_a_server_program_and_its_clients(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        image = t.image("disk.img", size=MiB)
        image.write(0x11, offset=0, length=512 * KiB)
        program = t.nbd_server("--export-name", "e0", image)
        url = program.export_url("e0")
        assert t.nbdinfo("--size", url).stdout.strip() == str(MiB)
        program.stop()
        assert t.nbdinfo("--size", url).status != 0
        program.start()
        assert t.nbdcopy(url, "copy.img").status == 0
        t.existing_image("copy.img", format="raw").expect_identical(image)
        program.kill()

    requires = ["tool:nbdinfo", "tool:nbdcopy", "nbd-server"]
    result = run_story(qemu, story, requires=requires)
    if result.outcome is Outcome.SKIPPED:
        pytest.skip(result.reason)
    passed(result)


def test_a_server_program_that_does_not_start(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.nbd_server("no-such-file")

    result = run_story(qemu, story, requires=["nbd-server"])
    if result.outcome is Outcome.SKIPPED:
        pytest.skip(result.reason)
    assert result.outcome is Outcome.FAILED
    assert "expected: to listen" in result.reason
    assert "no-such-file" in result.reason


def test_a_tool_that_is_not_there(fake: Implementation, run_story: RunStory) -> None:
    result = run_story(fake, lambda t: None, requires=["tool:no-such-tool"])
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "there is no no-such-tool on PATH")
    assert run_story(fake, lambda t: None, requires=["nbd-server"]).reason == "fake lacks an NBD server program"


def test_the_path_of_the_socket_may_be_long(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        target = server(t)
        done = subprocess.run(["stat", "-c", "%F", target.socket], cwd=target.server.path.parent, capture_output=True)
        assert done.stdout == b"socket\n"
        write(t, target, "read -P 0 0 512")

    passed(run_story(qemu, story))
