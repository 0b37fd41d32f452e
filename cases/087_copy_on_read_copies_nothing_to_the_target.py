"""What copy-on-read writes above the source changes no data, and so is not copied before; what the guest writes is."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-12"], groups=["cbw", "filter", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=2 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base)
    source = t.node("source0", image=overlay)
    target = t.node("target0", size=2 * MiB)
    t.start("-blockdev", "driver=copy-on-read,node-name=reader0,file=source0")
    job = t.blockdev_backup(source, target, sync="none")

    t.step("reading writes into the overlay")
    t.hmp('qemu-io reader0 "read -P 0x11 0 128k"')
    t.expect("offset", job.offset(), 0)

    t.step("writing copies, also what reading wrote")
    t.hmp('qemu-io reader0 "write -P 0x22 64k 64k"')
    t.expect("offset", job.offset(), 64 * KiB)
    t.hmp('qemu-io reader0 "write -P 0x22 1M 64k"')
    t.expect("offset", job.offset(), 128 * KiB)
    job.cancel().wait().expect_cancelled()

    t.step("the overlay has what was read and what was written")
    t.shutdown()
    overlay.record_map()
    target.image.record_map()
