"""vpc rounds the size of a target, which is left behind when that is refused; vmdk wants vmdk below it."""

from backcheck import Case, MiB, case


@case(
    rules=["TGT-19", "ERR-13", "ERR-34", "TGT-03"],
    groups=["error", "target", "quick"],
    requires=["driver:vpc", "driver:vmdk"],
)
def run(t: Case) -> None:
    base = t.image("base.img", size=2 * MiB)
    t.drive("disk0", image=t.image("overlay.img", backing=base))
    wanted = {"job-id": "job9", "device": "disk0", "target": "target.img"}

    t.step("vpc: whole cylinders are more than the disk has")
    sizes = "Source and target image have different sizes"
    t.expect_error("drive-backup", {**wanted, "sync": "full", "format": "vpc"}, error=sizes)
    left = t.existing_image("target.img", format="vpc")
    t.expect("virtual size of target.img", left.info()["virtual-size"], 61 * 4 * 17 * 512)

    t.step("vmdk over qcow2")
    kind = "backing_file must be a vmdk image"
    t.expect_error("drive-backup", {**wanted, "sync": "top", "target": "target.vmdk", "format": "vmdk"}, error=kind)
    t.expect("target.vmdk exists", t.existing_image("target.vmdk").exists(), False)
