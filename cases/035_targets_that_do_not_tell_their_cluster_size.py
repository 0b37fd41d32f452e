"""A target that cannot tell its cluster size is warned of, and gets 64 KiB; a plain file is not warned of."""

from backcheck import Case, MiB, case


@case(rules=["SIZE-05", "SIZE-06", "SIZE-08"], groups=["size", "target", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    plain = t.node("plain", size=MiB, format="raw")

    t.step("a file does not need one")
    t.blockdev_backup(disk, plain).wait().expect_completed()
    t.expect("lines on stderr", len(t.record_stderr()), 0)

    t.step("null has none")
    null = t.node("null", tree={"driver": "null-co", "size": MiB})
    t.blockdev_backup(disk, null).wait().expect_completed().expect(len=MiB, offset=MiB)
    t.expect("lines on stderr", len(t.record_stderr()), 1)

    t.step("nor has raw over it")
    raw = t.node("raw", tree={"driver": "raw", "file": "null"})
    t.blockdev_backup(disk, raw).wait().expect_completed()
    t.expect("lines on stderr", len(t.record_stderr()), 1)
