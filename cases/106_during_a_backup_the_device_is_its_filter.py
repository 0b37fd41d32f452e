"""While a backup runs its device's bitmaps are those of the filter; the disk's own are reached by its node-name."""

from backcheck import Case, Drive, JsonValue, KiB, MiB, case
from backcheck.json_types import objects

UNSTORED = "Can't store persistent bitmaps to disk0: Operation not supported"


@case(rules=["BMP-11", "BMP-12", "BMP-13", "BMP-14"], groups=["bitmap", "filter", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    by_node, by_device = disk.add_bitmap("b0", granularity=4 * KiB), t.bitmap("disk0", "b0")
    other = disk.add_bitmap("b1", granularity=4 * KiB)
    for offset in (0, 1 * MiB):
        disk.write(0x11, offset=offset, length=4 * KiB)
    by_device.disable().enable()
    t.expect("what query-block tells of", names_by_device(t, disk), ["b1", "b0"])
    job = t.drive_backup(disk, "t0.img", sync="incremental", bitmap="b0", filter_node_name="filter0", speed=1)
    job.wait_offset()

    t.step("the device has no such bitmaps now, the node has")
    for verb in ("clear", "remove", "enable", "disable"):
        by_device.expect_refused(verb, error="Dirty bitmap 'b0' not found")
    t.bitmap("disk0", "b1").expect_refused("clear", error="Dirty bitmap 'b1' not found")
    other.clear().expect(count=0)
    t.expect("named by query-block", [name for name in names_by_device(t, disk) if name], [])

    t.step("nameless ones: the successor, and those that copying needs")
    for node_name in ("filter0", disk.node_name):
        nameless = sum("name" not in bitmap for bitmap in t.node_bitmaps(node_name))
        t.record(f"node {node_name}", {"nameless-bitmaps": nameless}, keys=["nameless-bitmaps"])

    t.step("one that is added to the device is the filter's, is no persistent one, and goes with it")
    by_device.expect_refused("add", persistent=True, error=UNSTORED)
    by_device.add(granularity=4 * KiB)
    disk.write(0x22, offset=2 * MiB, length=4 * KiB)
    t.bitmap("filter0", "b0").expect(count=4 * KiB, busy=False, recording=True)
    by_node.expect(count=8 * KiB, busy=True)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=128 * KiB)
    by_node.expect(count=4 * KiB, busy=False)
    t.expect("what query-block tells of", names_by_device(t, disk), ["b0", "b1"])
    by_device.clear()
    by_node.expect(count=0)


def names_by_device(t: Case, disk: Drive) -> list[JsonValue]:
    """The bitmaps of the drive's root node in query-block; None for a nameless one."""
    return [bitmap.get("name") for bitmap in objects(t.inserted(disk).get("dirty-bitmaps", []))]
