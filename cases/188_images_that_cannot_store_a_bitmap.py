"""A persistent bitmap needs a qcow2 image of version 3; an older one, or a raw image, has bitmaps for the moment."""

from backcheck import Case, KiB, MiB, case

ERRORS = {
    "raw0": "Can't store persistent bitmaps to raw0: Operation not supported",
    "old0": "Can't make bitmap 'b0' persistent in 'old0': Cannot store dirty bitmaps in qcow2 v2 files",
}


@case(rules=["BMP-22"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disks = (
        t.drive("raw0", size=1 * MiB, format="raw"),
        t.drive("old0", size=1 * MiB, format="qcow2", options={"compat": "0.10"}),
    )
    for disk in disks:
        t.step(f"{disk.id}: not for keeps, but for now")
        owed = t.bitmap(disk, "b0")
        owed.expect_refused("add", persistent=True, error=ERRORS[disk.id])
        t.expect("b0 is there", owed.exists(), False)
        owed.add(granularity=64 * KiB)
        disk.write(0x11, offset=512 * KiB, length=1)
        owed.expect(count=64 * KiB, persistent=False, recording=True)
        job = t.drive_backup(disk, f"{disk.id}.backup", format="qcow2", sync="incremental", bitmap="b0")
        job.wait().expect_completed().expect(len=64 * KiB, offset=64 * KiB)
        job.target.expect_identical(disk.content)
        owed.expect(count=0)

    t.step("the next machine knows nothing of it, and the images are sound")
    t.restart()
    for disk in disks:
        t.expect("bitmaps", list(t.node_bitmaps(disk)), [])
    t.shutdown()
    for disk in disks:
        disk.image.expect_clean()
