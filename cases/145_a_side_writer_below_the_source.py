"""A backup does not start while something else writes below its source; it starts as soon as that one is gone."""

from backcheck import Case, KiB, MiB, case


@case(rules=["PERM-04", "ERR-33"], groups=["permission", "error", "quick"])
def run(t: Case) -> None:
    image = t.image("disk0.img", size=4 * MiB, format="raw")
    image.write(0x11, offset=0, length=4 * MiB)
    t.node("file0", tree={"driver": "file", "filename": "disk0.img"})
    t.node("source0", tree={"driver": "raw", "file": "file0"})
    t.node("writer0", tree={"driver": "raw", "file": "file0"})
    target = t.node("target0", size=4 * MiB)
    front = "scsi-hd,id=front0,drive=writer0,share-rw=on"
    t.start("-machine", "pc", "-accel", "tcg", "-device", "virtio-scsi-pci", "-device", front)

    t.step("refused")
    t.expect_error("blockdev-backup", device="source0", target="target0", sync="full", job_id="job0")
    t.expect_error("drive-backup", device="source0", target="target.img", sync="full", job_id="job0", format="qcow2")
    t.expect("jobs", t.ask_list("query-jobs"), [])
    t.expect("target.img exists", t.existing_image("target.img").exists(), True)
    t.hmp('qemu-io writer0 "write -P 0x22 0 64k"')
    image = t.existing_image("disk0.img", format="raw", content=image.content.written(0x22, offset=0, length=64 * KiB))

    t.step("a source of its own file is not concerned")
    job = t.blockdev_backup("file0", target, job_id="job0")
    job.wait().expect_completed()
    t.shutdown()
    target.expect_identical(image.content)
