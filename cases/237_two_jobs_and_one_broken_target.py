"""Of two jobs of one disk one has a broken target: it stops alone, but a guest's write needs both copies."""

import errno

from backcheck import Case, FailAlways, KiB, MiB, case


@case(rules=["GRAPH-09", "CBW-07", "CBW-02", "POL-04", "FLT-03"], groups=["cbw", "error", "graph"])
def run(t: Case) -> None:
    fault = FailAlways("write", errno.EIO, offset=3 * MiB, until="flush_to_os")
    disk = t.drive("disk0", size=4 * MiB)
    broken = t.drive("broken", size=4 * MiB, format="raw", fault=fault)
    disk.image.write(0x11)
    before = disk.content
    good = t.node("good", size=4 * MiB, format="raw")

    t.step("the first job sleeps, the second, which is nearer to the disk, stops")
    sleeping = t.blockdev_backup("disk0-node", good, speed=1)
    start = sleeping.wait_asleep()
    stopped = t.blockdev_backup("disk0-node", broken, on_target_error="stop")
    stopped.stopped("write")

    t.step("the guest's write is copied for the first, once, and cannot be for the second")
    for _ in range(2):
        disk.write(0x22, offset=3 * MiB, length=4 * KiB, expect="Input/output error")
        t.expect("bytes copied for the guest", sleeping.offset() - start, 64 * KiB)
    disk.read(0x11, offset=3 * MiB, length=4 * KiB)
    sleeping.expect_query(status="running", io_status="ok")
    stopped.expect_query(status="paused", io_status="failed")

    t.step("without the second it can be written")
    stopped.cancel("block-job", force=True).wait().expect_cancelled()
    disk.write(0x22, offset=3 * MiB, length=4 * KiB)
    t.expect("bytes copied for the guest", sleeping.offset() - start, 64 * KiB)
    sleeping.set_speed(0)
    sleeping.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.shutdown()
    good.expect_identical(before)
