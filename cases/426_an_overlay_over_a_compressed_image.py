"""The backing file of an overlay may be compressed: a small write of a guest takes the rest of its cluster from it."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-06", "CMP-14", "CMP-04"], groups=["compress", "top", "qcow2"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11, length=3 * MiB)
    source.write_noise(offset=3 * MiB, length=256 * KiB, period=2 * KiB)
    disk = t.drive("disk0", image=source)
    for size in ("4k", "64k", "2M"):
        target = t.image(f"base{size}.img", size=4 * MiB, options={"cluster_size": size})
        t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True).wait().expect_completed()
    t.shutdown()

    for size in ("4k", "64k", "2M"):
        base = t.existing_image(f"base{size}.img", format="qcow2", content=source.content)
        compressed = base.check()["compressed-clusters"]
        overlay = t.image(f"overlay{size}.img", backing=base)
        over = t.drive(f"over{size}", image=overlay)

        t.step(f"over clusters of {size}")
        t.start()
        over.write(0x22, offset=2 * KiB, length=1 * KiB)
        over.write(0x33, offset=3 * MiB + 60 * KiB, length=8 * KiB)
        over.write_zeroes(offset=2 * MiB - 4 * KiB, length=8 * KiB)
        over.read(0x11, offset=3 * KiB, length=61 * KiB)
        t.shutdown()
        overlay.expect_identical(over)
        overlay.expect_clean()
        base.expect_identical(source)
        t.expect("nothing was lost", base.check()["compressed-clusters"], compressed)
