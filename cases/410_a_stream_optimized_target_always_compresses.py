"""A streamOptimized vmdk compresses whether it was asked or not, zeroes too, and writes each grain once."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["CMP-12", "CMP-13", "CMP-07"],
    groups=["compress", "error", "target"],
    requires=["driver:vmdk"],
)
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11, length=2 * MiB)
    small = t.image("disk1.img", size=64 * KiB)
    small.write(0x11)
    disk, grain = t.drive("disk0", image=source), t.drive("disk1", image=small)
    options = {"subformat": "streamOptimized"}

    for compress in (True, False):
        t.step("compress=true: zeroes are data too" if compress else "without compress: the same")
        target = t.image(f"target{int(compress)}.vmdk", size=4 * MiB, format="vmdk", options=options)
        job = t.drive_backup(disk, target, mode="existing", format="vmdk", compress=compress)
        job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
        compared = t.img("compare", "-U", "-f", "vmdk", "-F", "qcow2", target.name, "disk0.img")
        t.expect("compare", compared.status, 0)
        target.record_map()
        t.expect("small", target.path.stat().st_size < MiB, True)

        t.step("a second time onto one grain")
        target = t.image(f"grain{int(compress)}.vmdk", size=64 * KiB, format="vmdk", options=options)
        job = t.drive_backup(grain, target, mode="existing", format="vmdk", compress=compress)
        job.wait().expect_completed()
        job = t.drive_backup(grain, target, mode="existing", format="vmdk", compress=compress)
        job.event("BLOCK_JOB_ERROR", operation="write", action="report")
        job.wait().expect(error="Input/output error", len=64 * KiB, offset=0)
        t.record_stderr()
        compared = t.img("compare", "-U", "-f", "vmdk", "-F", "qcow2", target.name, "disk1.img")
        t.expect("compare", compared.status, 0)
