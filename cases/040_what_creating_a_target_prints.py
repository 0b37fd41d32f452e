"""Creating a target prints one line with its options; the target has its format's defaults, not the source's."""

from backcheck import Case, KiB, case


@case(rules=["TGT-01", "TGT-02", "TGT-04", "TGT-05"], groups=["target", "quick"])
def run(t: Case) -> None:
    image = t.image(
        "disk0.img", size=1_000_000, options={"cluster_size": "2M", "compat": "0.10", "preallocation": "metadata"}
    )
    image.write(0x11, offset=0, length=64 * KiB)
    disk = t.drive("disk0", image=image)

    for format_name in ("qcow2", "raw"):
        t.step(format_name)
        job = t.drive_backup(disk, f"target.{format_name}", format=format_name)
        job.wait().expect_completed()
        target = t.existing_image(f"target.{format_name}", format=format_name)
        target.expect_identical(image.content)
        info = target.info()
        t.expect("size of the target", info["virtual-size"], -(-1_000_000 // 512) * 512)
        if format_name == "qcow2":
            t.expect("cluster size of the target", info["cluster-size"], 64 * KiB)
            t.expect("compat 1.1", "'compat': '1.1'" in str(info["format-specific"]), True)

    t.step("a name that needs quoting is printed as it is")
    t.drive_backup(disk, "it's a, target.img").wait().expect_completed()
