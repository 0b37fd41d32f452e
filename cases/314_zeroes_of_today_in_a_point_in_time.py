"""A client that pulls is told where data were at the point in time, though the guest has zeroed or discarded them."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["FLT-05", "EXP-07"],
    groups=["nbd", "export", "pull", "filter"],
    requires=["driver:copy-before-write", "driver:snapshot-access"],
    not_on={"qemu<10.0": "the map of a snapshot-access node is that of the live disk (BUG-10)"},
)
def run(t: Case) -> None:
    image = t.image("disk0.img", size=4 * MiB)
    image.write(0x11, offset=0, length=3 * MiB)
    t.node("disk0", tree={"driver": "qcow2", "discard": "unmap", "file": {"driver": "file", "filename": image.name}})
    t.node("store0", image=t.image("store.img", size=4 * MiB))
    before = image.content
    t.node("filter0", tree={"driver": "copy-before-write", "file": "disk0", "target": "store0", "discard": "unmap"})
    t.node("start0", tree={"driver": "snapshot-access", "file": "filter0"})
    guest = t.guest_on("filter0", image)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    t.qmp("nbd-server-add", device="start0", name="start")
    t.qmp("nbd-server-add", device="disk0", name="live")

    def map_of(name: str) -> list[list[int | bool]]:
        extents = t.img_map(name, "-f", "raw", f"nbd:unix:nbd.sock:exportname={name}")
        return [[extent.start, extent.length, extent.zero] for extent in extents]

    t.step("data become zeroes, zeroes become data")
    guest.write_zeroes(offset=MiB, length=256 * KiB)
    guest.discard(offset=2 * MiB, length=128 * KiB)
    guest.write(0x22, offset=3 * MiB + 512 * KiB, length=4 * KiB)
    live = [
        [0, MiB, False],
        [MiB, 256 * KiB, True],
        [MiB + 256 * KiB, 768 * KiB, False],
        [2 * MiB, 128 * KiB, True],
        [2 * MiB + 128 * KiB, 896 * KiB, False],
        [3 * MiB, 512 * KiB, True],
        [3 * MiB + 512 * KiB, 64 * KiB, False],
        [3 * MiB + 576 * KiB, 448 * KiB, True],
    ]
    t.expect("map of the live disk", map_of("live"), live)
    t.expect("map of the point in time", map_of("start"), [[0, 3 * MiB, False], [3 * MiB, MiB, True]])

    t.step("so a copy that goes by it is whole")
    pulled = t.img("convert", "-f", "raw", "-O", "raw", "nbd:unix:nbd.sock:exportname=start", "pulled.img")
    t.expect("status of img convert", pulled.status, 0)
    t.existing_image("pulled.img", format="raw").expect_identical(before)
