"""A vmdk in several files as a target, on both sides of 2 GiB; a vmdk target wants a vmdk below it, and takes one."""

from backcheck import Case, GiB, KiB, MiB, case

SIZE = 2 * GiB + MiB


@case(
    rules=["CMP-11", "SYNC-06", "ERR-13", "TGT-02", "TGT-03"],
    groups=["compress", "top", "target", "error"],
    formats=["qcow2"],
    requires=["driver:vmdk"],
)
def run(t: Case) -> None:
    base = t.image("base.img", size=SIZE)
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x11, offset=2 * GiB - 64 * KiB, length=128 * KiB)
    disk = t.drive("disk0", image=overlay)
    lower = t.image("lower.vmdk", size=MiB, format="vmdk")
    lower.write(0x11, length=256 * KiB)
    upper = t.image("upper.vmdk", format="vmdk", backing=lower)
    upper.write(0x22, offset=96 * KiB, length=64 * KiB)
    over = t.drive("disk1", image=upper)

    for kind in ("twoGbMaxExtentSparse", "twoGbMaxExtentFlat"):
        t.step(f"{kind}: two files, and a text about them")
        target = t.image(f"{kind}.vmdk", size=SIZE, format="vmdk", options={"subformat": kind})
        job = t.drive_backup(disk, target, mode="existing", format="vmdk", sync="top", compress=True)
        job.wait().expect_completed()
        compared = t.img("compare", "-U", "-f", "vmdk", "-F", "qcow2", target.name, "overlay.img")
        t.expect("compare", compared.status, 0)
        for number in (1, 2):
            part = f"{kind}-{'f' if kind.endswith('Flat') else 's'}{number:03}.vmdk"
            t.expect(f"{part} is there", t.existing_image(part).exists(), True)

    t.step("over a qcow2: refused before there is a file")
    wanted = {"job-id": "job9", "device": "disk0", "target": "target.vmdk", "sync": "top", "format": "vmdk"}
    t.expect_error("drive-backup", wanted, error="backing_file must be a vmdk image")
    t.expect("target.vmdk exists", t.existing_image("target.vmdk").exists(), False)

    t.step("over a vmdk")
    job = t.drive_backup(over, "top.vmdk", sync="top", format="vmdk")
    job.wait().expect_completed()
    compared = t.img("compare", "-U", "-f", "vmdk", "-F", "vmdk", "top.vmdk", "upper.vmdk")
    t.expect("compare", compared.status, 0)
    top = t.existing_image("top.vmdk", format="vmdk")
    t.expect("backing file", top.info()["backing-filename"], "lower.vmdk")
