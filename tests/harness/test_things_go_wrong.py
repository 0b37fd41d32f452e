"""What a case makes go wrong: faults that begin and end, signals, limits of file sizes; the last two on a real QEMU."""

import errno
import signal

import pytest

from backcheck import Case, FailAlways, FailOnce, MiB
from backcheck.errors import UsageError
from backcheck.implementation import Implementation
from backcheck.story.faults import Fault, as_rules
from tests.harness.conftest import RunStory
from tests.harness.stories import passed, statuses


def test_a_fault_that_ends_is_disarmed_by_what_arms_it() -> None:
    rules = as_rules(FailAlways("write", errno.ENOSPC, offset=MiB, until="flush_to_os"))
    assert rules["set-state"] == [{"event": "flush_to_os", "state": 1, "new_state": 2}]
    assert rules["inject-error"] == [
        {"event": "write_aio", "iotype": "write", "errno": errno.ENOSPC, "once": False, "sector": 2048, "state": 1},
        {"event": "write_aio", "errno": errno.EIO, "sector": 1 << 40, "state": 2},
    ]


def test_a_fault_that_follows_another_needs_no_disarming() -> None:
    faults = [FailOnce("read", errno.EIO, until="l2_load"), FailAlways("read", errno.EPERM, since="l2_load")]
    assert as_rules(faults)["inject-error"] == [fault.rule() for fault in faults]


@pytest.mark.parametrize(
    "faults",
    [
        [FailOnce("read", errno.EIO, until="l2_load"), FailOnce("read", errno.EIO, since="flush_to_os")],
        [FailOnce("flush", errno.EIO, until="flush_to_os")],
    ],
    ids=["two events", "armed by none"],
)
def test_faults_that_blkdebug_cannot_have(faults: list[Fault]) -> None:
    with pytest.raises(UsageError):
        as_rules(faults)


def test_a_limit_stops_a_job_and_a_signal_ends_the_machine(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk, target = t.drive("disk0", size=2 * MiB), t.node("target0", size=2 * MiB, format="raw")
        disk.image.write(0x11)
        t.start()
        t.limit_file_size(MiB)
        job = t.blockdev_backup(disk, target, on_target_error="stop")
        job.stopped("write")
        t.limit_file_size(None)
        job.resume()
        job.wait().expect_completed()
        job = t.blockdev_backup(disk, target, speed=1)
        assert job.wait_asleep() in (64 * 1024, MiB)
        t.step("a signal")
        t.signal(signal.SIGTERM)
        job.expect_cancelled()
        target.expect_identical(disk)

    result = passed(run_story(qemu, story))
    assert statuses(result, "a signal")[-3:] == ["aborting", "concluded", "null"]
