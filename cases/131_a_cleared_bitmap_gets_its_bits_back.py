"""When a transaction fails, a bitmap that it cleared has every bit again, and records what comes."""

from backcheck import Action, Case, KiB, MiB, case


@case(rules=["TXN-01", "BMP-01"], groups=["transaction", "bitmap", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB + 512)
    sizes = {"fine": 512, "plain": 64 * KiB, "coarse": 2 * MiB}
    owed = {name: disk.add_bitmap(name, granularity=granularity) for name, granularity in sizes.items()}
    disk.write(0x11, offset=512, length=512)
    disk.write(0x11, offset=3 * MiB - 512, length=64 * KiB)
    disk.write(0x11, offset=4 * MiB, length=512)
    owed["plain"].disable()
    disk.write(0x11, offset=MiB, length=512)
    bits = {name: bitmap.sha256() for name, bitmap in owed.items()}
    for bitmap in owed.values():
        bitmap.record("count", "recording")

    t.step("cleared, then aborted")
    t.expect_transaction_error(*(bitmap.action("clear") for bitmap in owed.values()), Action("abort"))
    for name, bitmap in owed.items():
        bitmap.record("count", "recording")
        t.expect(f"bits of {name}", bitmap.sha256(), bits[name])

    t.step("cleared twice, then a backup of one of them that fails")
    t.expect_transaction_error(
        owed["fine"].action("clear"),
        owed["fine"].action("clear"),
        t.drive_backup_action(disk, "target.img", bitmap=owed["fine"]),
        error="Bitmap sync mode must be given when providing a bitmap",
    )
    t.expect("bits of fine", owed["fine"].sha256(), bits["fine"])
    t.expect("node of disk0", t.inserted(disk)["node-name"], "disk0-node")

    t.step("what is written now adds to it")
    disk.write(0x22, offset=2 * MiB, length=1024)
    for bitmap in owed.values():
        bitmap.record("count", "recording")

    t.step("cleared in one that succeeds")
    t.transaction(*(bitmap.action("clear") for bitmap in owed.values()))
    for bitmap in owed.values():
        bitmap.expect(count=0)
