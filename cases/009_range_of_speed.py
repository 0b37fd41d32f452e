"""speed goes from 0 to 2^63-1; a negative one is refused late, when the job was already created."""

from backcheck import Case, MiB, case


@case(rules=["ARG-11", "ERR-03", "ERR-32", "ERR-33", "ERR-34"], groups=["arg", "speed", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    wanted = {"device": "disk0", "target": "target.img", "sync": "full"}

    t.step("the highest")
    job = t.drive_backup(disk, "fast.img", speed=2**63 - 1)
    job.wait().expect_completed().expect(speed=2**63 - 1)

    t.step("what is no int64 is refused before anything else")
    for speed in (2**63, -(2**63) - 1, 1.5, "fast", None):
        t.expect_error(
            "drive-backup",
            {**wanted, "speed": speed},
            error="Invalid parameter type for 'speed', expected: integer",
        )
    t.expect("target.img exists", t.existing_image("target.img").exists(), False)

    t.step("a negative one: the job comes and goes, the file stays")
    negative = {**wanted, "speed": -1, "job-id": "job9"}
    refused = t.expect_error("drive-backup", negative, error="Parameter 'speed' expects a non-negative value")
    job = t.job("job9", refused)
    t.expect_before(job.state("null"), job.reply)
    t.expect("target.img exists", t.existing_image("target.img").exists(), True)
