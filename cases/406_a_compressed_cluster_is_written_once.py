"""A cluster that a target has, compressed or not, cannot be compressed onto; one that is zero or discarded can."""

from backcheck import Case, KiB, case

STATES = {
    "data": "write -P 0x55 64k 64k",
    "compressed": "write -c -P 0x55 64k 64k",
    "zero": "write -z -u 64k 64k",
    "discarded": "write -P 0x55 64k 64k",
    "kept": "write -P 0x55 64k 64k",
}
"""Of the second cluster -> how it came."""
WRITABLE = ("zero", "discarded")


@case(rules=["CMP-07", "CMP-08", "POL-02"], groups=["compress", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=128 * KiB)
    disk.write(0x11, offset=0, length=128 * KiB)
    for name, made in STATES.items():
        image = t.image(f"{name}.img", size=128 * KiB)
        t.expect(name, t.io("-f", "qcow2", "-c", made, image.name).status, 0)
    t.io("-f", "qcow2", "-d", "unmap", "-c", "discard 64k 64k", "discarded.img")
    t.io("-f", "qcow2", "-c", "write -z 64k 64k", "kept.img")

    for name in STATES:
        t.step(name)
        target = t.existing_image(f"{name}.img", content=disk.content)
        job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True)
        job.wait().expect(len=128 * KiB, error=None if name in WRITABLE else "Input/output error")
        target.expect_clean()

    t.step("and without compress all of them can be written over")
    for name in STATES:
        target = t.existing_image(f"{name}.img", content=disk.content)
        t.drive_backup(disk, target, mode="existing", format="qcow2").wait().expect_completed()
        target.expect_identical(disk)
        target.expect_clean()
