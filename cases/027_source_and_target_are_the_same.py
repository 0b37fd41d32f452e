"""A disk is no target for itself, neither by its device's id nor by its node's name."""

from backcheck import Case, MiB, case


@case(rules=["ERR-26"], groups=["error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    for device in ("disk0", "disk0-node"):
        for target in ("disk0", "disk0-node"):
            t.expect_error(
                "blockdev-backup",
                {"job-id": "job9", "device": device, "target": target, "sync": "full"},
                error="Source and target cannot be the same",
            )
    t.expect("jobs", t.ask_list("query-jobs"), [])
    disk.read(0x11, offset=0, length=MiB)
