"""drive-backup opens its target with a generated name, the source's cache mode, and detection of zeroes."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["TGT-13"], groups=["target", "graph", "quick"])
def run(t: Case) -> None:
    cached = t.drive("disk0", size=4 * MiB)
    unsafe = t.drive("disk1", size=4 * MiB, cache="unsafe")
    for disk in (cached, unsafe):
        disk.write(0x11, offset=0, length=4 * MiB)
        t.step(f"the backup of {disk.id}")
        job = t.drive_backup(disk, f"{disk.id}-copy.img", speed=64 * KiB)
        target = t.find_node(file=f"{disk.id}-copy.img", drv="qcow2")
        t.expect("a generated name", target.node_name.startswith("#block"), True)
        t.record("target", t.node_info(target.node_name), keys=["drv", "ro", "detect_zeroes", "cache"])
        t.expect_error("blockdev-del", node_name=target.node_name)
        job.cancel()
        job.wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
