"""compress is a bool, and is refused where the target's driver cannot compress."""

from backcheck import Case, MiB, case


@case(rules=["ARG-15", "ERR-03", "ERR-27", "ERR-34"], groups=["arg", "compress", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    t.node("target0", size=MiB, format="raw")
    t.drive("target1", size=MiB, format="raw")
    wanted = {"job-id": "job9", "device": "disk0", "sync": "full"}

    t.step("not a bool")
    for value in (1, "yes", "on", None):
        t.expect_error(
            "drive-backup",
            {**wanted, "target": "target.img", "compress": value},
            error="Invalid parameter type for 'compress', expected: boolean",
        )

    t.step("raw cannot compress: the message ends with the device's id, empty where there is none")
    refused = "Compression is not supported for this drive "
    t.expect_error("drive-backup", {**wanted, "target": "raw.img", "format": "raw", "compress": True}, error=refused)
    t.expect_error("blockdev-backup", {**wanted, "target": "target0", "compress": True}, error=refused)
    t.expect_error("blockdev-backup", {**wanted, "target": "target1", "compress": True}, error=f"{refused}target1")
    t.expect("raw.img exists", t.existing_image("raw.img", format="raw").exists(), True)
