"""The hash of a bitmap is over its granules alone, whatever the disk's size and wherever its end."""

from backcheck import Case, KiB, MiB, case

SIZES = (512, 63 * 64 * KiB + 512, 64 * 64 * KiB, 64 * 64 * KiB + 512, 128 * 64 * KiB - 512)


@case(rules=["BMP-25"], groups=["bitmap", "size", "quick"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=size, format="raw") for number, size in enumerate(SIZES)]
    for disk, size in zip(disks, SIZES, strict=True):
        t.step(f"a disk of {size} bytes: nothing, the last granule, all of them")
        for granularity in (512, 64 * KiB, 1 * MiB):
            disk.add_bitmap(f"b{granularity}", granularity=granularity)
        for offset, length in ((0, 0), (size - 512, 512), (0, size)):
            disk.write(0x11, offset=offset, length=length)
            for granularity in (512, 64 * KiB, 1 * MiB):
                bitmap = t.bitmap(disk, f"b{granularity}")
                t.record(f"bitmap {bitmap}", {"count": bitmap.count, "sha256": bitmap.sha256()})
