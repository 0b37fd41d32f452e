"""A value of an enum is spelled exactly as the schema has it, and a wrong one is named."""

from backcheck import Case, MiB, case


@case(rules=["ARG-07", "ARG-12", "ARG-16", "ERR-06"], groups=["arg", "error", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    wanted = {"device": "disk0", "target": "target.img", "sync": "full"}

    t.step("sync")
    for sync in ("FULL", "ful", "full ", ""):
        t.expect_error("drive-backup", {**wanted, "sync": sync}, error_class="GenericError")

    t.step("every other enum of the commands")
    for name in ("mode", "on-source-error", "on-target-error", "bitmap-mode"):
        t.expect_error("drive-backup", {**wanted, name: "Report"}, error_class="GenericError")

    t.step("nothing was created")
    t.expect("target.img exists", t.existing_image("target.img").exists(), False)
