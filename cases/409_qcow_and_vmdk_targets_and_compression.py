"""qcow takes compress and fails at the first data; a vmdk of whole extents takes it and stores all as it is."""

from backcheck import Case, KiB, MiB, between, case


@case(
    rules=["CMP-10", "CMP-11", "CMP-01", "POL-02"],
    groups=["compress", "error", "target"],
    requires=["driver:qcow", "driver:qed", "driver:vdi", "driver:vhdx", "driver:vmdk", "driver:vpc"],
)
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11, offset=2 * MiB)
    disk = t.drive("disk0", image=source)
    empty = t.drive("disk1", size=4 * MiB)

    t.step("qcow: zeroes can be copied, data cannot")
    job = t.drive_backup(empty, "empty.qcow", format="qcow", compress=True)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.expect("compare", t.img("compare", "-U", "-f", "qcow", "-F", "qcow2", "empty.qcow", "disk1.img").status, 0)
    target = t.image("some.qcow", size=4 * MiB, format="qcow")
    job = t.drive_backup(disk, target, mode="existing", format="qcow", compress=True, speed=64 * KiB)
    disk.write(0x22, offset=3 * MiB, length=4 * KiB, expect="Invalid argument")
    job.set_speed(0)
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="Invalid argument", len=4 * MiB, offset=between(0, 2 * MiB))

    t.step("vmdk: nothing is compressed, and nobody is told")
    for kind in ("monolithicSparse", "monolithicFlat"):
        target = t.image(f"{kind}.vmdk", size=4 * MiB, format="vmdk", options={"subformat": kind})
        job = t.drive_backup(disk, target, mode="existing", format="vmdk", compress=True)
        job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
        compared = t.img("compare", "-U", "-f", "vmdk", "-F", "qcow2", target.name, "disk0.img")
        t.expect(f"compare {kind}", compared.status, 0)

    t.step("others cannot: refused once they are made")
    for name in ("qed", "vdi", "vpc", "vhdx"):
        wanted = {"job-id": "job9", "device": "disk0", "sync": "full", "compress": True, "format": name}
        refused = "Compression is not supported for this drive "
        t.expect_error("drive-backup", {**wanted, "target": f"target.{name}"}, error=refused)
        t.expect(f"{name} is left", t.existing_image(f"target.{name}").exists(), True)
