"""Transactions as a case writes them, tried on the real QEMU."""

import pytest

from backcheck import Action, Case, KiB, MiB
from backcheck.golden.grammar import lines_of
from backcheck.implementation import Implementation
from backcheck.running.result import Outcome
from backcheck.transcript import END_STEP
from tests.harness.conftest import RunStory
from tests.harness.stories import commands, entries, passed, statuses


def test_jobs_of_a_transaction(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk, other = t.drive("disk0", size=4 * MiB), t.drive("disk1", size=4 * MiB)
        target = t.node("target1", size=4 * MiB)
        owed = disk.add_bitmap("b0")
        disk.write(0x11, offset=0, length=MiB)
        before = disk.content
        t.step("together")
        first, second = t.transaction(
            t.backup_action(disk, "t0.img", speed=64 * KiB),
            owed.action("clear"),
            t.backup_action(other, target, job_id="mine"),
            other.add_bitmap_action("b1", granularity=32 * KiB),
            t.bitmap(other, "b1").merge_action(owed),
            Action("block-dirty-bitmap-disable", node="disk1-node", name="b1"),
        )
        assert (first.id, second.id) == ("job0", "mine")
        first.set_speed(0)
        first.wait().expect_completed()
        second.wait().expect_completed()
        first.target.expect_identical(before)
        owed.expect(count=0)
        job = t.backup(disk, "t1.img", sync="incremental", bitmap=owed)
        assert job.id == "job2"
        job.wait().expect(len=0)

    result = passed(run_story(qemu, story))
    text = lines_of(entries(result, "together"))[0].text.split("\n")
    assert text == [
        "-> transaction",
        "     drive-backup job-id=job0 device=disk0 target=t0.img sync=full speed=65536",
        "     block-dirty-bitmap-clear node=disk0-node name=b0",
        "     blockdev-backup job-id=mine device=disk1 target=target1 sync=full",
        "     block-dirty-bitmap-add node=disk1-node name=b1 granularity=32768",
        "     block-dirty-bitmap-merge node=disk1-node target=b1 bitmaps[0].node=disk0-node bitmaps[0].name=b0",
        "     block-dirty-bitmap-disable node=disk1-node name=b1",
    ]
    assert commands(result, "together")[-1].arguments["bitmap"] == "b0"


def test_jobs_that_never_started_belong_to_the_step(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk, other = t.drive("disk0", size=MiB), t.drive("disk1", size=MiB)
        t.step("refused")
        t.expect_transaction_error(
            t.drive_backup_action(disk, "t0.img"),
            t.drive_backup_action(other, "t1.img", job_id=None),
            Action("abort"),
            grouped=False,
            error="Transaction aborted using Abort action",
            error_class="GenericError",
        )
        t.step("once more")
        assert t.drive_backup(disk, "t0.img").wait().expect_completed().id == "job0"

    result = passed(run_story(qemu, story))
    assert statuses(result, "refused") == ["created", "aborting", "concluded", "null"] * 2
    assert commands(result, "refused")[0].arguments["properties"] == {"completion-mode": "individual"}
    assert statuses(result, END_STEP) == []


@pytest.mark.parametrize(("error", "got"), [("nope", "aborted using Abort"), (None, "success")])
def test_a_wrong_expectation_fails_the_case(
    qemu: Implementation, run_story: RunStory, error: str | None, got: str
) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB)
        actions = [disk.add_bitmap_action("b0"), *([Action("abort")] if error else [])]
        t.expect_transaction_error(*actions, error=error)

    result = run_story(qemu, story)
    assert result.outcome is Outcome.FAILED
    assert got in result.reason.splitlines()[-1]
