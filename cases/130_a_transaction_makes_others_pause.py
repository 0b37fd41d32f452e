"""A transaction, even an empty or a failing one, makes every running job pause for a moment; other commands do not."""

from backcheck import Action, Case, MiB, case


@case(rules=["EVT-13", "ERR-35"], groups=["transaction", "event", "release"], keep_pairs=True)
def run(t: Case) -> None:
    disk, other = t.drive("disk0", size=4 * MiB), t.drive("disk1", size=MiB)
    job = t.drive_backup(disk, "target.img", sync="none")

    t.step("an empty one")
    t.transaction()

    t.step("one that is aborted")
    t.expect_transaction_error(Action("abort"))

    t.step("one that adds a bitmap to another disk")
    t.transaction(other.add_bitmap_action("b0"))

    t.step("the command that adds a bitmap")
    other.add_bitmap("b1")

    t.step("a backup of nothing")
    t.expect_error("blockdev-backup", device="nope", target="nope", sync="full", job_id="job1")

    t.step("what the schema refuses")
    t.expect_error("transaction", actions=[{"type": "nope", "data": {}}])

    t.step("what it has told is its start, and a pair for each of four")
    job.cancel()
    job.wait().expect_cancelled().expect(len=4 * MiB, offset=0)
