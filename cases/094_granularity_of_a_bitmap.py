"""A bitmap's granularity is the image's cluster size between 4 and 64 KiB, or any power of two from 512 on."""

from backcheck import Case, GiB, KiB, MiB, case

NO_POWER = "Granularity must be power of 2 and at least 512"
NO_UINT32 = "Parameter 'granularity' expects uint32_t"
DEFAULTS = {512: 4 * KiB, 8 * KiB: 8 * KiB, 64 * KiB: 64 * KiB, 2 * MiB: 64 * KiB}
"""Cluster size -> granularity."""


@case(rules=["BMP-21"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disks = {
        granularity: t.drive(f"disk{size}", size=1 * MiB, options={"cluster_size": str(size)})
        for size, granularity in DEFAULTS.items()
    }
    raw = t.drive("raw0", size=1 * MiB, format="raw")

    t.step("the default follows the cluster size; an image without clusters gets 64 KiB")
    for granularity, disk in disks.items():
        disk.add_bitmap("b0").expect(granularity=granularity, count=0)
    raw.add_bitmap("b0").expect(granularity=64 * KiB, count=0)

    t.step("what no granularity can be")
    disk = disks[8 * KiB]
    refused = t.bitmap(disk, "b1")
    for granularity in (0, 1, 256, 511, 513, 1000, 3 * 4 * KiB, 4 * GiB - 1):
        refused.expect_refused("add", granularity=granularity, error=NO_POWER)
    for granularity in (-1, 4 * GiB, 6 * GiB):
        refused.expect_refused("add", granularity=granularity, error=NO_UINT32)
    t.expect("refused bitmap exists", refused.exists(), False)

    t.step("the smallest and the largest; a granule counts whole, also where the disk ends within it")
    small = disk.add_bitmap("small", granularity=512)
    large = disk.add_bitmap("large", granularity=2 * GiB)
    disk.write(0x11, offset=1 * MiB - 1, length=1)
    small.expect(granularity=512, count=512)
    large.expect(granularity=2 * GiB, count=2 * GiB)
