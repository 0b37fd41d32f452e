"""The source of a backup may be a node in the middle of the graph: a backing file, or the file below a format."""

from backcheck import Case, KiB, MiB, case


@case(rules=["ARG-05"], groups=["arg", "graph", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=MiB)
    base.write(0x11, offset=0, length=128 * KiB)
    below = base.content
    disk = t.drive("disk0", image=t.image("overlay.img", backing=base))
    disk.write(0x22, offset=64 * KiB, length=128 * KiB)
    content = disk.content

    t.step("the backing file, which the guest's writes do not reach")
    job = t.drive_backup(t.find_node(file="base.img", drv=t.format), "base-copy.img")
    job.wait().expect_completed().expect(len=MiB, offset=MiB)
    job.target.expect_identical(below)

    t.step("the file that a raw node reads")
    plain_image = t.image("plain.img", size=MiB, format="raw")
    plain_image.write(0x33, offset=0, length=MiB)
    plain_file = {"driver": "file", "filename": "plain.img", "node-name": "plain-file"}
    t.node("plain", tree={"driver": "raw", "file": plain_file})
    job = t.drive_backup("plain-file", "plain-copy.img", format="raw")
    job.wait().expect_completed().expect(len=MiB, offset=MiB)
    job.target.expect_identical(plain_image.content)

    t.step("the disk itself is still what the guest sees")
    job = t.drive_backup(disk, "disk-copy.img")
    job.wait().expect_completed()
    job.target.expect_identical(content)
