"""An error of the target's own tables is an error of writing: resumed, the job leaves a whole image."""

import errno

from backcheck import Case, FailOnce, MiB, case

EVENTS = ("l2_alloc_write", "l1_update", "cluster_alloc")


@case(rules=["POL-01", "POL-04", "POL-05"], groups=["error", "target"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.image.write(0x11)
    # Before 6.0 the kernel is asked to copy first, and then it is done by hand.
    tries = 2 if t.release < (6, 0) else 1
    targets = []
    for event in EVENTS:
        faults = [FailOnce("write", errno.ENOSPC, event=event)] * tries
        targets.append(t.node(f"target-{event}", size=MiB, format="qcow2", fault=faults))

    for event, target in zip(EVENTS, targets, strict=True):
        t.step(event)
        job = t.blockdev_backup(disk, target, on_target_error="enospc")
        job.stopped("write")
        job.expect_query(status="paused", io_status="nospace", offset=0)
        job.resume()
        job.wait().expect_completed().expect(len=MiB)
    t.shutdown()
    for target in targets:
        target.expect_identical(disk)
