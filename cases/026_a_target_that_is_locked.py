"""A target that is open elsewhere, or is the source's own file, cannot be locked; nothing happens to it."""

from backcheck import Case, MiB, case


@case(
    rules=["ERR-17"],
    groups=["error", "target", "quick"],
    not_on={"qemu<6.0": "the first refusal freezes the drive (BUG-01)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    other = t.drive("disk1", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    other.write(0x22, offset=0, length=MiB)
    locked = 'Failed to get "write" lock'

    t.step("existing and to be made, both are refused")
    for target in ("disk0.img", "disk1.img"):
        wanted = {"device": "disk0", "target": target, "sync": "full"}
        t.expect_error("drive-backup", {**wanted, "mode": "existing", "format": t.format}, error=locked)
        t.expect_error("drive-backup", wanted, error=locked)

    t.step("both disks are as the guest wrote them")
    disk.read(0x11, offset=0, length=MiB)
    other.read(0x22, offset=0, length=MiB)
    t.shutdown()
    t.existing_image("disk0.img").expect_identical(disk.content)
    t.existing_image("disk1.img").expect_identical(other.content)
