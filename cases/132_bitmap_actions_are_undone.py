"""Every action on a bitmap is undone when a later one fails: add, remove, enable, disable and merge."""

from backcheck import Action, Case, KiB, MiB, case


@case(rules=["TXN-01", "TXN-04", "BMP-10"], groups=["transaction", "bitmap", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    on, off = disk.add_bitmap("on"), disk.add_bitmap("off", disabled=True)
    disk.write(0x11, offset=0, length=64 * KiB)
    on.disable()
    off.enable()
    disk.write(0x11, offset=MiB, length=128 * KiB)
    on.enable()
    off.disable()
    bits = (on.sha256(), off.sha256())

    def expect_undone() -> None:
        on.expect(count=64 * KiB, recording=True, busy=False)
        off.expect(count=128 * KiB, recording=False, busy=False)
        t.expect("bits", [on.sha256(), off.sha256()], list(bits))
        t.expect("bitmaps", sorted(str(bitmap["name"]) for bitmap in t.node_bitmaps(disk)), ["off", "on"])

    for title, actions in {
        "added": (disk.add_bitmap_action("new"),),
        "added to the image": (disk.add_bitmap_action("new", persistent=True),),
        "enabled and disabled": (off.action("enable"), on.action("disable")),
        "enabled and disabled again": (off.action("enable"), off.action("disable"), off.action("enable")),
        "merged": (on.merge_action(off),),
        "merged, then cleared, then merged": (on.merge_action(off), on.action("clear"), on.merge_action(off)),
        "merged both ways": (on.merge_action(off), off.merge_action(on)),
        "removed": (on.action("remove"),),
        "merged into a new one": (disk.add_bitmap_action("new"), t.bitmap(disk, "new").merge_action(on, off)),
    }.items():
        t.step(title)
        t.expect_transaction_error(*actions, Action("abort"), error="Transaction aborted using Abort action")
        expect_undone()

    t.step("it is the same bitmap still: it follows the guest, and can go")
    disk.write(0x22, offset=2 * MiB, length=4 * KiB)
    on.expect(count=128 * KiB)
    off.expect(count=128 * KiB)
    t.transaction(on.action("remove"), off.action("enable"))
    off.expect(recording=True)
    t.expect("on exists", on.exists(), False)
