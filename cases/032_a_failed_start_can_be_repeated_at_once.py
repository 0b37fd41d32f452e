"""After a start that failed, the same backup with right arguments runs at once, whatever step it failed at."""

from backcheck import Case, JsonObject, MiB, case

WRONG: list[JsonObject] = [
    {"format": "nosuch"},
    {"target": "nodir/target.img"},
    {"mode": "existing"},
    {"target": "disk0.img"},
    {"filter-node-name": "1x"},
    {"compress": True, "format": "raw"},
    {"speed": -1},
]


@case(
    rules=["ERR-36", "ERR-34"],
    groups=["error", "job", "quick"],
    not_on={"qemu<6.0": "the first of these freezes every later job on the drive (BUG-01)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    before = disk.content
    for number, wrong in enumerate(WRONG):
        t.step(", ".join(f"{key}={value}" for key, value in wrong.items()))
        target = f"target{number}.img"
        wanted = {"job-id": f"job{number}", "device": "disk0", "target": target, "sync": "full"}
        t.exchange("drive-backup", {**wanted, **wrong})
        t.expect("jobs", t.ask_list("query-jobs"), [])
        job = t.drive_backup(disk, target, job_id=f"job{number}")
        job.wait().expect_completed()
        job.target.expect_identical(before)
