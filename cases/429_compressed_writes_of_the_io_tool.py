"""`io write -c` writes whole clusters, once; parts, second tries and images of other formats have their own errors."""

from backcheck import Case, KiB, MiB, case

WRITES = (
    ("write -c -P 0x11 0 64k", "ok"),
    ("write -c -P 0x22 0 64k", "write failed: Input/output error"),
    ("write -c -P 0x22 4k 64k", "write failed: Invalid argument"),
    ("write -c -P 0x22 64k 4k", "write failed: Invalid argument"),
    ("write -c -P 0x22 128k 192k", "ok"),
    ("write -c -P 0x33 192k 128k", "write failed: Input/output error"),
    ("write -c -P 0x44 1M 512", "ok"),
    ("write -c -P 0x44 1M 512", "write failed: Input/output error"),
    ("write -P 0x55 512k 512", "ok"),
    ("write -c -P 0x55 512k 64k", "write failed: Input/output error"),
    ("write -P 0x66 4k 4k", "ok"),
    ("discard 128k 64k", "ok"),
)


@case(rules=["CMP-07", "CMP-06", "CMP-02"], groups=["compress", "tool", "quick"])
def run(t: Case) -> None:
    image = t.image("disk0.img", size=MiB + 512)
    for command, expected in WRITES:
        done = t.io("-f", "qcow2", "-d", "unmap", "-c", command, image.name)
        t.expect(command, "ok" if done.status == 0 else done.stdout.strip() or done.stderr.strip(), expected)

    t.step("what was written well is there, and nothing of what failed")
    image.note_write(0x11, 0, 64 * KiB)
    image.note_write(0x22, 128 * KiB, 192 * KiB)
    image.note_write(0x44, MiB, 512)
    image.note_write(0x55, 512 * KiB, 512)
    image.note_write(0x66, 4 * KiB, 4 * KiB)
    image.note_write(0, 128 * KiB, 64 * KiB)
    image.expect_identical(image)
    image.expect_clean()
    t.expect_state("disk0.img", image.check(), allocated_clusters=5, compressed_clusters=3)

    t.step("a disk over it is backed up")
    disk = t.drive("disk0", image=image)
    disk.read(0x22, offset=192 * KiB, length=128 * KiB)
    job = t.drive_backup(disk, "target.img", compress=True)
    job.wait().expect_completed()
    job.target.expect_identical(image)

    t.step("raw")
    t.image("flat.img", size=MiB, format="raw")
    done = t.io("-f", "raw", "-c", "write -c 0 64k", "flat.img")
    t.record("raw", {"status": done.status, "said": done.stdout.strip()})
