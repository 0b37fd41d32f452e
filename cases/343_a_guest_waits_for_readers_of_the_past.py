"""A guest's write waits for who reads the same place of the past from the disk itself, and was saved before."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["FLT-05", "CBW-11"],
    groups=["pull", "filter", "cbw", "quick"],
    formats=["raw"],
    requires=["driver:copy-before-write", "driver:snapshot-access"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB, breakpoints=True)
    disk.image.write(0x11)
    reader = t.drive("reader0", size=4 * MiB, read_only="on")
    store = t.recording_target("store0", size=4 * MiB)
    fronts = [
        f"-device virtio-blk-pci,id=front{number},drive={drive.id}" for number, drive in enumerate((disk, reader))
    ]
    t.start(*f"-machine pc -accel tcg {' '.join(fronts)}".split())
    t.node("filter0", tree={"driver": "copy-before-write", "file": "disk0-node", "target": "store0"})
    t.qmp("qom-set", path="front0", property="drive", value="filter0")
    t.node("start0", tree={"driver": "snapshot-access", "file": "filter0", "read-only": True})
    t.qmp("qom-set", path="front1", property="drive", value="start0")

    t.step("a reader is held on the disk, and the guest writes there")
    held = disk.hold("read_aio")
    past = reader.aio_read(0x11, offset=MiB, length=4 * KiB)
    held.wait()
    request = disk.aio_write(0x22, offset=MiB, length=4 * KiB)
    t.poll(lambda: bool(store.received("write")) and store.received("write")[0].done, "the old data to be saved")
    request.expect_waiting()

    t.step("the reader goes on")
    held.release()
    past.wait()
    request.wait()
    for offset in (MiB, MiB + 64 * KiB):
        reader.read(0x11, offset=offset, length=64 * KiB)
    disk.read(0x22, offset=MiB, length=4 * KiB)
    store.expect_written_once((MiB, 64 * KiB))
