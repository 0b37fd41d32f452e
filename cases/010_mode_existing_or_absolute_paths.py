"""absolute-paths, the default, makes the target anew over whatever was there; existing writes into what is there."""

from backcheck import Case, KiB, MiB, case


@case(rules=["ARG-12", "TGT-03", "TGT-07", "SYNC-16"], groups=["arg", "target", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=128 * KiB)
    before = disk.content
    options = {"cluster_size": "4k"} if t.format == "qcow2" else {}
    kept = t.image("kept.img", size=MiB, options=options)
    kept.write(0x77, offset=0, length=MiB)
    remade = t.image("remade.img", size=3 * MiB, options=options)
    remade.write(0x77, offset=0, length=3 * MiB)

    t.step("existing prints nothing, and the file stays what it was made as")
    t.drive_backup(disk, "kept.img", mode="existing", format=t.format).wait().expect_completed()
    kept.expect_identical(before)
    t.record("kept.img", kept.info(), keys=["virtual-size", "cluster-size"] if options else ["virtual-size"])

    t.step("absolute-paths makes a file of the disk's size")
    t.drive_backup(disk, "remade.img", mode="absolute-paths").wait().expect_completed()
    t.existing_image("remade.img").expect_identical(before)
    t.record("remade.img", remade.info(), keys=["virtual-size", "cluster-size"] if options else ["virtual-size"])

    t.step("so does leaving it out, even over its own last backup")
    t.drive_backup(disk, "remade.img").wait().expect_completed()
    t.existing_image("remade.img").expect_identical(before)
