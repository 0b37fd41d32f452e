"""Queries tell of every bitmap of a node, newest first, the nameless one without a name, and of its state."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-01", "BMP-02"], groups=["bitmap", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.add_bitmap("stored", granularity=16 * KiB)
    active = disk.add_bitmap("active", granularity=4 * KiB)
    disabled = disk.add_bitmap("disabled", granularity=64 * KiB, disabled=True)
    stored = t.bitmap(disk, "stored")
    disk.write(0x11, offset=0, length=4 * KiB)

    def tell() -> None:
        for bitmap in t.node_bitmaps(disk):
            t.record(f"bitmap {bitmap.get('name', '(nameless)')}", bitmap)

    t.step("at rest")
    tell()
    t.expect("order", [bitmap["name"] for bitmap in t.node_bitmaps(disk)], ["disabled", "active", "stored"])

    t.step("one that is in use and its successor")
    job = t.drive_backup(disk, "t0.img", sync="incremental", bitmap=active, auto_finalize=False)
    job.wait()
    disk.write(0x22, offset=1 * MiB, length=4 * KiB)
    active.record("name", "busy", "count", "granularity", "persistent", "recording", "status")
    successor = next(bitmap for bitmap in t.node_bitmaps(disk) if "name" not in bitmap and bitmap["recording"])
    t.expect_state("successor", successor, count=4 * KiB, granularity=4 * KiB, busy=False, persistent=False)

    t.step("a disabled one that is in use")
    job.finalize()
    job.wait().expect_completed()
    job = t.drive_backup(disk, "t1.img", sync="incremental", bitmap=disabled, auto_finalize=False)
    job.wait()
    disabled.record("name", "busy", "count", "granularity", "persistent", "recording", "status")
    job.cancel()
    job.wait().expect_cancelled()
    t.kill()

    t.step("after a kill there is what was stored, and it is inconsistent")
    tell()
    t.expect("bitmaps", [bitmap["name"] for bitmap in t.node_bitmaps(disk)], ["stored"])
    stored.remove()
    t.expect("key for no bitmaps", "dirty-bitmaps" in t.node_info(disk.node_name), False)
