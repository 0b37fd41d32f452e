"""top and none keep a disk of any size to its last byte, with a backing file that is qcow2 or raw."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["SYNC-06", "SYNC-10", "SIZE-03", "SIZE-10"],
    groups=["sync", "top", "none", "size"],
    formats=["qcow2", "raw"],
)
def run(t: Case) -> None:
    disks = []
    for number, size in enumerate((1, 1_000_000, MiB + 512)):
        base = t.image(f"base{number}.img", size=size)
        base.write(0x11, offset=0, length=size)
        overlay = t.image(f"overlay{number}.img", size=size, format="qcow2", backing=base)
        overlay.write(0x22, offset=overlay.size - 512, length=512)
        disks.append(t.drive(f"disk{number}", image=overlay))

    jobs = []
    for disk in disks:
        before, size = disk.content, disk.image.size
        last = (size - 512) // (64 * KiB) * 64 * KiB

        t.step(f"top of {size} bytes: its last cluster")
        job = t.drive_backup(disk, f"top-{disk.id}.img", sync="top", format="qcow2")
        job.wait().expect_completed().expect(len=64 * KiB, offset=64 * KiB)
        t.expect("size of the target", job.target.info()["virtual-size"], size)
        job.target.expect_identical(before)

        t.step(f"none of {size} bytes, its last sector and another written")
        job = t.drive_backup(disk, f"none-{disk.id}.img", sync="none", format="qcow2")
        disk.write(0x33, offset=size - 512, length=512)
        t.expect("offset", job.offset(), 64 * KiB)
        disk.write(0x44, offset=0, length=512)
        copied = 128 * KiB if last else 64 * KiB
        job.cancel().wait().expect_cancelled().expect(len=last + 64 * KiB, offset=copied)
        jobs.append((job, before))

    t.shutdown()
    for job, before in jobs:
        job.target.expect_identical(before)
        job.target.expect_clean()
