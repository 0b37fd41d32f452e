"""A line that drive_backup cannot read is answered with where help is; no job and no file hears of it."""

from backcheck import Case, KiB, MiB, case

HINT = 'Try "help drive_backup" for more information\r\n'


@case(rules=["HMP-03", "HMP-04", "ERR-35"], groups=["hmp", "error", "quick"], keep_pairs=True)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.drive("disk1", size=MiB)
    t.start()
    t.step("a job is there, which would tell of a drained section")
    job = t.drive_backup(disk, "running.img", sync="none")
    job.reach("paused")
    job.reach("running")

    t.step("too few words, too many")
    for line, missing in (
        ("drive_backup", "block device name expected"),
        ("drive_backup -f", "block device name expected"),
        ("drive_backup disk1", "string expected"),
        ("drive_backup -n -f -c disk1", "string expected"),
        ("drive_backup disk1 target.img raw more", "extraneous characters at the end of line"),
        ('drive_backup "disk1 target.img', "block device name expected"),
        ('drive_backup disk1 "target.img', "string expected"),
    ):
        t.expect(line, t.hmp(line).endswith(f"drive_backup: {missing}\r\n{HINT}"), True)
    t.expect("states", job.query()["status"], "running")

    t.step("what can be read, and is refused: an error without the hint")
    said = t.hmp("drive_backup nope target.img")
    t.expect("error", said.startswith("Error: Cannot find device=") and HINT not in said, True)

    t.step("nothing has come of all that")
    t.expect("target.img is there", t.existing_image("target.img").exists(), False)
    disk.write(0x22, offset=0, length=64 * KiB)
    job.cancel().wait().expect_cancelled().expect(len=4 * MiB, offset=64 * KiB)
