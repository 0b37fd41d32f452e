"""A target that cannot be created is an error that names it, after the line that announced it."""

from backcheck import Case, MiB, case


@case(rules=["ERR-15", "TGT-03"], groups=["error", "target", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    for target, reason in (
        ("nodir/a.img", "No such file or directory"),
        ("/", "Is a directory"),
        ("", "No such file or directory"),
        ("disk0.img/a.img", "Not a directory"),
        ("x" * 300, "File name too long"),
    ):
        t.expect_error(
            "drive-backup", device="disk0", target=target, sync="full", error=f"Could not create '{target}': {reason}"
        )
