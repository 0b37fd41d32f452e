"""An answer that no server may give fails the job with an I/O error, and the next server is believed again."""

from typing import Literal

from backcheck import Case, MiB, case

LIES: tuple[Literal["cookie", "magic", "short"], ...] = ("cookie", "magic", "short")


@case(rules=["NBD-11", "POL-01", "POL-02"], groups=["nbd", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    for how in LIES:
        t.step(f"its {how} is wrong")
        target = t.recording_target(how, size=MiB)
        target.lie("write", how)
        job = t.backup(disk, target).wait().expect(error="Input/output error")
        job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    t.step("an honest one")
    target = t.recording_target("target0", size=MiB)
    t.backup(disk, target).wait().expect_completed()
    target.expect_identical(disk)

    t.step("a source whose answers are wrong")
    t.shutdown()
    source = t.recording_target("source0", size=MiB, node=False)
    remote = t.drive_over("disk1", source)
    t.start()
    remote.write(0x22, offset=0, length=MiB)
    source.lie("read", "cookie")
    job = t.backup(remote, target).wait().expect(error="Input/output error")
    job.event("BLOCK_JOB_ERROR", operation="read", action="report")
