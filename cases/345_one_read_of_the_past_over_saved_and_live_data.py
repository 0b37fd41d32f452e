"""One read of a point in time that begins in saved data and goes on in live data, or the other way, gives the past."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(
    rules=["FLT-05", "BUG-12"],
    groups=["pull", "filter", "quick"],
    requires=["driver:copy-before-write", "driver:snapshot-access"],
    not_on={"qemu<10.0": "a read that begins in saved data gives live data for all of it (BUG-12)"},
)
def run(t: Case) -> None:
    image = t.image("disk0.img", size=MiB)
    image.write(0x11)
    t.node("disk0", image=image)
    t.node("store0", size=MiB)
    t.node("filter0", tree={"driver": "copy-before-write", "file": "disk0", "target": "store0"})
    view: JsonObject = {"driver": "snapshot-access", "file": "filter0"}
    t.node("start0", tree=view)
    guest, reader = t.guest_on("filter0", image), t.guest_on("start0", image)
    guest.write(0x22, offset=128 * KiB, length=64 * KiB)
    guest.write(0x33, offset=512 * KiB + 512, length=512)
    for name, offset, length in (
        ("saved, then live", 128 * KiB, 128 * KiB),
        ("live, then saved", 64 * KiB, 128 * KiB),
        ("saved between live", 64 * KiB, 192 * KiB),
        ("live between saved", 128 * KiB, 448 * KiB),
        ("from sector to sector", 191 * KiB + 512, 321 * KiB),
        ("everything", 0, MiB),
    ):
        t.step(name)
        reader.read(0x11, offset=offset, length=length)
    t.step("the guest reads its own")
    guest.read(0x22, offset=128 * KiB, length=64 * KiB)
    guest.read(0x33, offset=512 * KiB + 512, length=512)
    guest.read(0x11, offset=512 * KiB + KiB, length=63 * KiB)
