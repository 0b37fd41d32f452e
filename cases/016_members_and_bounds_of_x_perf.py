"""x-perf says how a backup copies, within bounds; what it refuses leaves a target but no job."""

from backcheck import Case, KiB, MiB, case

REFUSED = [
    ({"max-workers": 0}, "max-workers must be between 1 and 2147483647"),
    ({"max-workers": 2**31}, "max-workers must be between 1 and 2147483647"),
    ({"max-chunk": -1}, "max-chunk must be zero (which means no limit) or positive"),
    ({"max-chunk": 1000}, "Required max-chunk (1000) is less than backup cluster size (65536)"),
    ({"max-chunk": "1M"}, "Invalid parameter type for 'x-perf.max-chunk', expected: integer"),
    ({"foo": 1}, "Parameter 'x-perf.foo' is unexpected"),
]


@case(
    rules=["ARG-19", "ERR-29", "ERR-31", "ERR-34", "SIZE-11"],
    groups=["arg", "quick"],
    requires=["argument:drive-backup.x-perf"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    target = t.drive("target0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    wanted = {"job-id": "job9", "device": "disk0", "target": "target.img", "sync": "full"}

    t.step("these are refused")
    for perf, error in REFUSED:
        t.expect_error("drive-backup", {**wanted, "x-perf": perf}, error=error)
    t.expect("jobs", t.ask_list("query-jobs"), [])

    t.step("max-chunk bounds what one request of the background copies")
    job = t.blockdev_backup(
        disk, target, speed=64 * KiB, x_perf={"max-workers": 1, "max-chunk": 128 * KiB, "use-copy-range": False}
    )
    t.expect("offset after one request", job.wait_offset(), 128 * KiB)

    t.step("without a limit it goes on to the end")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.shutdown()
    t.existing_image("target0.img").expect_identical(before)
