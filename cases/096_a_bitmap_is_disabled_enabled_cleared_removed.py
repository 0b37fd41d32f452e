"""A disabled bitmap keeps what it has and records nothing; cleared it owes nothing; removed its name is free."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-23"], groups=["bitmap", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=1 * MiB)
    off = disk.add_bitmap("off", granularity=4 * KiB, disabled=True)
    on = disk.add_bitmap("on", granularity=4 * KiB, disabled=False)

    t.step("one that was made disabled records nothing until it is enabled")
    disk.write(0x11, offset=0, length=4 * KiB)
    off.expect(count=0, recording=False)
    on.expect(count=4 * KiB, recording=True)
    off.enable().expect(count=0, recording=True)
    disk.write(0x22, offset=64 * KiB, length=4 * KiB)
    off.expect(count=4 * KiB)

    t.step("disabled it keeps what it had; disabling twice is no error, nor is enabling")
    on.disable().disable().expect(count=8 * KiB, recording=False)
    disk.write(0x33, offset=128 * KiB, length=4 * KiB)
    on.expect(count=8 * KiB)
    on.enable().enable().expect(count=8 * KiB, recording=True)
    disk.write(0x44, offset=192 * KiB, length=4 * KiB)
    on.expect(count=12 * KiB)

    t.step("cleared it has nothing, and is enabled or disabled as before")
    off.disable().clear().expect(count=0, recording=False)
    on.clear().expect(count=0, recording=True)
    disk.write(0x55, offset=256 * KiB, length=4 * KiB)
    on.expect(count=4 * KiB)

    t.step("removed it is gone for every verb, and a new one of its name knows nothing")
    on.remove()
    for verb in ("remove", "clear", "enable", "disable"):
        on.expect_refused(verb, error="Dirty bitmap 'on' not found")
    on.add(granularity=8 * KiB).expect(count=0, granularity=8 * KiB, recording=True)
    off.expect(count=0, recording=False)
