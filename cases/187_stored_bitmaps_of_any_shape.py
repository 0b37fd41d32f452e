"""Bitmaps that are solid, scattered or blank survive in images of any cluster size, and beside many others."""

from backcheck import Case, Drive, KiB, MiB, case

SIZE = 4 * MiB + 512
CLUSTER_SIZES = (512, 4 * KiB, 2 * MiB)
GRANULARITIES = (512, 4 * KiB, 1 * MiB)
SCATTERED = (0, 2 * MiB - 512, 2 * MiB, 3 * MiB + 512, SIZE - 512)
MANY = 30


@case(rules=["BMP-27"], groups=["bitmap", "size"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{size}", size=SIZE, options={"cluster_size": str(size)}) for size in CLUSTER_SIZES]
    names = [f"{kind}{granularity}" for kind in ("solid", "scattered", "blank") for granularity in GRANULARITIES]
    for disk in disks:
        add(t, disk, "solid")
        disk.write_zeroes(offset=0, length=SIZE)
        add(t, disk, "scattered")
        for offset in SCATTERED:
            disk.write(0x11, offset=offset, length=512)
        add(t, disk, "blank")
    first, *others = disks
    for number in range(MANY):
        arguments = {"node": first.node_name, "name": f"many{number}", "granularity": 64 * KiB}
        t.ask("block-dirty-bitmap-add", {**arguments, "persistent": True, "disabled": number % 2 == 1})

    t.step("the next machine has every bit of them, whatever the cluster size")
    hashes = [t.bitmap(first, name).sha256() for name in names]
    t.restart()
    t.expect("hashes", [t.bitmap(first, name).sha256() for name in names], hashes)
    for name in names:
        bitmap = t.bitmap(first, name)
        bitmap.record("count", "granularity", "recording")
        for disk in others:
            bitmap.expect_same_bits(t.bitmap(disk, name))

    t.step("and the one after it what this one has added")
    for disk in disks:
        for offset in (1 * MiB, 3 * MiB - 1):
            disk.write(0x22, offset=offset, length=2)
    hashes = [t.bitmap(first, name).sha256() for name in names]
    t.restart()
    for disk in disks:
        t.expect("hashes", [t.bitmap(disk, name).sha256() for name in names], hashes)
    listed = {str(bitmap["name"]): bitmap["count"] for bitmap in t.node_bitmaps(first)}
    counts = [listed[f"many{number}"] for number in range(MANY)]
    t.expect("counts of many", counts, [192 * KiB, 0] * (MANY // 2))

    t.step("the images are sound")
    t.shutdown()
    for disk in disks:
        disk.image.expect_clean()
        t.expect(f"bitmaps of {disk.id}", len(disk.image.bitmaps()), len(names) + (MANY if disk is first else 0))


def add(t: Case, disk: Drive, kind: str) -> None:
    """Bitmaps of that kind in each granularity, unrecorded."""
    for granularity in GRANULARITIES:
        arguments = {"node": disk.node_name, "name": f"{kind}{granularity}", "granularity": granularity}
        t.ask("block-dirty-bitmap-add", {**arguments, "persistent": True})
