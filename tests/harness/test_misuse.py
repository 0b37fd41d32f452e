"""A case that misuses what it may use: one sentence that names the thing and says what would be right."""

from collections.abc import Callable

import pytest

from backcheck import Case, Job, KiB, MiB
from backcheck.implementation import Implementation
from backcheck.running.result import Outcome
from tests.harness.conftest import RunStory

SLOW = 64 * KiB


def misuse_of_expect(t: Case) -> None:
    t.backup(t.drive("disk0", size=4 * MiB), speed=SLOW).expect_completed()


def misuse_of_images(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=512)
    disk.image.expect_clean()


def misuse_of_hold(t: Case) -> None:
    t.drive("disk0", size=MiB).hold("write_aio")


def misuse_of_target(t: Case) -> None:
    job: Job = t.backup(t.drive("disk0", size=MiB), t.node("n", size=MiB)).wait()
    job.target.expect_clean()


def misuse_of_size(t: Case) -> None:
    t.image("x.img")


def misuse_of_a_name(t: Case) -> None:
    t.drive("disk0", size=MiB)
    t.node("disk0", size=MiB)


def misuse_of_drive_backup(t: Case) -> None:
    t.drive_backup(t.drive("disk0", size=MiB), t.node("target0", size=MiB))  # type: ignore[arg-type]


def misuse_of_blockdev_backup(t: Case) -> None:
    t.blockdev_backup(t.drive("disk0", size=MiB), t.image("t.img", size=MiB))  # type: ignore[arg-type]


def misuse_of_arguments(t: Case) -> None:
    t.drive_backup(t.drive("disk0", size=MiB), filter_name="x")  # type: ignore[call-arg]


def misuse_of_reach(t: Case) -> None:
    t.drive_backup(t.drive("disk0", size=MiB)).reach("finished")  # type: ignore[arg-type]


def misuse_of_job(t: Case) -> None:
    job = t.drive_backup(t.drive("disk0", size=MiB)).wait()
    t.job("job0", job.start)


def misuse_of_a_step(t: Case) -> None:
    t.step("two\nlines")


def misuse_of_write(t: Case) -> None:
    t.drive("disk0", size=MiB).write(0x100, offset=0, length=512)


def misuse_of_an_exit(t: Case) -> None:
    raise SystemExit("enough")


@pytest.mark.parametrize(
    ("story", "message"),
    [
        (misuse_of_expect, "job0 has not ended: wait() for it"),
        (misuse_of_images, "disk0.img is in use by the machine"),
        (misuse_of_hold, "disk0 has no breakpoints: t.drive('disk0', breakpoints=True)"),
        (misuse_of_target, "job0 writes to a node of the case"),
        (misuse_of_size, "image x.img: give its size"),
        (misuse_of_a_name, "there is a disk0 already: a drive or node needs a name of its own"),
        (misuse_of_drive_backup, "drive-backup writes to a file: to target0 it is t.blockdev_backup()"),
        (misuse_of_blockdev_backup, "blockdev-backup writes to a node: to the file t.img it is t.drive_backup()"),
        (misuse_of_arguments, "a backup has no argument filter-name; there are job-id, device, target"),
        (misuse_of_reach, "no job is ever 'finished'; its states are created, running, paused"),
        (misuse_of_a_step, "a step has a title of one line, not 'two\\nlines'"),
        (misuse_of_write, "qemu-io disk0 write -P 256 0 512: 256 is not a valid pattern byte"),
        (misuse_of_an_exit, "SystemExit: enough"),
        (misuse_of_job, "drive-backup has started a job already that the case knows: keep that one"),
    ],
)
def test_misuse_is_told(qemu: Implementation, run_story: RunStory, story: Callable[[Case], None], message: str) -> None:
    result = run_story(qemu, story)
    assert result.outcome is Outcome.BROKEN
    assert message in result.reason
