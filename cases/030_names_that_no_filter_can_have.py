"""A filter-node-name that no node can have fails the backup, after its target was made."""

from backcheck import Case, MiB, case


@case(rules=["ERR-30", "ARG-18", "ERR-34"], groups=["error", "filter", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    for name in ("1x", "", "a b", "disk0-node", "disk0", "x" * 32):
        t.expect_error(
            "drive-backup",
            {"device": "disk0", "target": "target.img", "sync": "full", "filter-node-name": name},
            error_class="GenericError",
        )
    t.expect("target.img exists", t.existing_image("target.img").exists(), True)

    t.step("31 characters are a name")
    t.drive_backup(disk, "target.img", filter_node_name="x" * 31).wait().expect_completed()
