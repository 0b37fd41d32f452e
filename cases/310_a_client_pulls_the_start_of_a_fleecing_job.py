"""Classic fleecing: a job without background copy, its target over the live source, exported: readers see the start."""

from backcheck import Case, Image, JsonObject, KiB, MiB, case


@case(rules=["FLT-11", "SYNC-09", "CBW-15"], groups=["nbd", "export", "none", "pull"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11, offset=0, length=3 * MiB)
    store = t.image("store.img", size=4 * MiB, format="qcow2")
    disk.write(0x22, offset=64 * KiB, length=64 * KiB)
    before = disk.content
    tree: JsonObject = {"driver": "qcow2", "file": {"driver": "file", "filename": store.name}, "backing": "disk0-node"}
    target = t.node("target0", tree=tree)

    t.step("the job starts, and what its target holds is exported")
    job = t.blockdev_backup(disk, target, sync="none")
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    t.qmp("nbd-server-add", device="target0", name="start")

    def pull(name: str) -> Image:
        """What a client reads from end to end."""
        done = t.img("convert", "-f", "raw", "-O", "raw", "nbd:unix:nbd.sock:exportname=start", name)
        t.expect("status of img convert", done.status, 0)
        return t.existing_image(name, format="raw")

    t.step("the guest overwrites, zeroes, and writes where nothing was")
    disk.write(0x33, offset=64 * KiB + 512, length=512)
    disk.write_zeroes(offset=MiB, length=256 * KiB)
    disk.write(0x44, offset=3 * MiB + 512 * KiB, length=4 * KiB)
    job.expect_query(status="running", offset=64 * KiB + 256 * KiB + 64 * KiB)
    first = pull("first.img")
    first.expect_identical(before)

    t.step("and once more over all of it, between two reads")
    disk.write(0x55, offset=0, length=4 * MiB)
    job.expect_query(status="running", offset=4 * MiB)
    second = pull("second.img")
    second.expect_identical(before)

    t.step("the job goes first, then the export")
    job.cancel()
    job.wait().expect_cancelled().expect(len=4 * MiB, offset=4 * MiB)
    t.qmp("nbd-server-stop")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.qmp("blockdev-del", node_name="target0")
    t.shutdown()
    disk.image.expect_identical(disk)
