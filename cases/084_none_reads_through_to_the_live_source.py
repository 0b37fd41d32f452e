"""The target of sync=none lies over the live disk, whatever backing file it names, and shows the disk at the start."""

from backcheck import Case, KiB, MiB, case


@case(rules=["TGT-12", "SYNC-09"], groups=["sync", "none", "target", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    other = t.image("other.img", size=4 * MiB)
    other.write(0x77)
    named = t.image("named.img", backing=other)

    t.step("an existing image, which names another backing file")
    job = t.drive_backup(disk, named, sync="none", mode="existing", format="qcow2")
    target = t.find_node(drv="qcow2", detect_zeroes="unmap").node_name

    t.step("the guest writes, and a reader of the target sees nothing of it")
    disk.write(0x22, offset=MiB, length=64 * KiB)
    disk.write_zeroes(offset=2 * MiB, length=128 * KiB)
    for offset in (0, MiB, 2 * MiB, 4 * MiB - 64 * KiB):
        t.hmp(f'qemu-io {target} "read -P 0x11 {offset} 64k"')
    disk.read(0x22, offset=MiB, length=64 * KiB)

    t.step("the name of the backing file stays in the header")
    job.cancel().wait().expect_cancelled().expect(len=4 * MiB, offset=192 * KiB)
    t.expect("backing of named.img", named.info()["backing-filename"], "other.img")
    named.record_map()

    t.step("laid over the disk, it is the disk as it was")
    t.shutdown()
    t.img("rebase", "-q", "-u", "-f", "qcow2", "-b", "disk0.img", "-F", "qcow2", "named.img")
    named.expect_identical(before)
