"""The source is looked up first, then the target; a drive without medium is found but is neither."""

from backcheck import Case, MiB, case


@case(rules=["ERR-08", "ERR-09", "ERR-10"], groups=["error", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    t.start("-drive", "if=none,id=empty0")

    t.step("nothing has these names")
    for name in ("nope", "", "disk0.img", "DISK0"):
        t.expect_error("drive-backup", device=name, target="a.img", sync="full", error_class="GenericError")
    t.expect_error("blockdev-backup", device="disk0", target="nope", sync="full", error_class="GenericError")
    t.expect_error("blockdev-backup", device="first", target="second", sync="full", error_class="GenericError")

    t.step("no medium")
    empty = "Device 'empty0' has no medium"
    t.expect_error("drive-backup", device="empty0", target="a.img", sync="full", error=empty)
    t.expect_error("blockdev-backup", device="empty0", target="nope", sync="full", error=empty)
    t.expect_error("blockdev-backup", device="disk0", target="empty0", sync="full", error=empty)
    t.expect("a.img exists", t.existing_image("a.img").exists(), False)
