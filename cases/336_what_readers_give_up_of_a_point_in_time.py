"""A reader discards what it has pulled: whole clusters leave the point in time, and are saved for nobody any more."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(
    rules=["FLT-06", "FLT-07"],
    groups=["pull", "filter", "discard", "quick"],
    requires=["driver:copy-before-write", "driver:snapshot-access"],
    not_on={"qemu<10.0": "a discard of less than a cluster aborts it (BUG-05)"},
)
def run(t: Case) -> None:
    image = t.image("disk0.img", size=4 * MiB)
    image.write(0x11)
    t.node("disk0", image=image)
    saved = t.node("store0", size=4 * MiB, format="raw")
    nothing = saved.content
    t.node("filter0", tree={"driver": "copy-before-write", "file": "disk0", "target": "store0", "discard": "unmap"})
    view: JsonObject = {"driver": "snapshot-access", "file": "filter0", "discard": "unmap"}
    t.node("start0", tree=view)
    guest, reader = t.guest_on("filter0", image), t.guest_on("start0", image)

    t.step("less than a cluster stays, and so does the rest of what begins or ends within one")
    guest.write(0x22, offset=0, length=64 * KiB)
    t.hmp('qemu-io start0 "discard 64k 32k"')
    t.hmp('qemu-io start0 "discard 1000k 100k"')
    for offset, length in ((0, MiB), (MiB + 64 * KiB, 64 * KiB)):
        reader.read(0x11, offset=offset, length=length)

    t.step("the whole cluster in it is gone, and with it whatever touches it")
    for offset, length in ((MiB, 512), (MiB + 63 * KiB, 2 * KiB), (MiB - 512, 1024), (MiB, 64 * KiB)):
        reader.read(0x11, offset=offset, length=length, expect="Permission denied")

    t.step("what the guest overwrites of it is not saved, what lies beside it is")
    guest.write(0x33, offset=MiB - 512, length=66 * KiB)
    reader.read(0x11, offset=MiB - 64 * KiB, length=64 * KiB)
    reader.read(0x33, offset=MiB, length=512, expect="Permission denied")
    for name in ("start0", "filter0"):
        t.qmp("blockdev-del", node_name=name)
    t.shutdown()
    kept = nothing.written(0x11, 0, 64 * KiB).written(0x11, MiB - 64 * KiB, 64 * KiB)
    saved.expect_identical(kept.written(0x11, MiB + 64 * KiB, 64 * KiB))
