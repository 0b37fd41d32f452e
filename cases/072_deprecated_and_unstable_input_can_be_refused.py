"""A policy refuses deprecated and unstable input: drive-backup as a command and as an action, and x-perf."""

from backcheck import Case, JsonObject, MiB, case

WANTED: JsonObject = {"job-id": "job9", "device": "disk0", "target": "target.img", "sync": "full"}


@case(
    rules=["ARG-26"],
    groups=["arg", "quick"],
    not_on={"qemu<6.2": "-compat knows no policy for input, and nothing is deprecated (ARG-26)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    target = t.node("target0", size=MiB)
    t.start("-compat", "deprecated-input=reject,unstable-input=reject")

    t.step("drive-backup is no command then, and no action")
    t.expect_error(
        "drive-backup",
        WANTED,
        error_class="CommandNotFound",
        error="Deprecated command drive-backup disabled by policy",
    )
    actions = {"actions": [{"type": "drive-backup", "data": WANTED}]}
    t.expect_error("transaction", actions, error="Deprecated value drive-backup disabled by policy")
    t.expect("target.img exists", t.existing_image("target.img").exists(), False)

    t.step("x-perf is no argument")
    wanted = {**WANTED, "target": "target0", "x-perf": {}}
    t.expect_error("blockdev-backup", wanted, error="Unstable parameter x-perf disabled by policy")
    actions = {"actions": [{"type": "blockdev-backup", "data": wanted}]}
    t.expect_error("transaction", actions)

    t.step("blockdev-backup is as ever")
    t.blockdev_backup(disk, target).wait().expect_completed()
