"""After quit a target of sync=none still shows the moment of its start, and one of sync=top can be completed."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["QUIT-01", "QUIT-08", "SYNC-09", "SYNC-06"], groups=["quit", "none", "top", "quick"])
def run(t: Case) -> None:
    bases = [t.image(f"base{number}.img", size=4 * MiB) for number in range(2)]
    for base in bases:
        base.write(0x11)
    none, top = (
        t.drive(f"disk{number}", image=t.image(f"top{number}.img", backing=base)) for number, base in enumerate(bases)
    )
    for disk in (none, top):
        disk.write(0x22, offset=0, length=2 * MiB)
    before = none.content
    shown = t.drive_backup(none, "shown.img", sync="none")
    partial = t.drive_backup(top, "partial.img", sync="top", speed=64 * KiB)
    none.write(0x33, offset=MiB, length=128 * KiB)
    none.write(0x33, offset=3 * MiB + 4 * KiB, length=4 * KiB)
    shown.expect_query(offset=192 * KiB, status="running")

    t.step("quit")
    t.quit()
    shown.expect_cancelled().expect(offset=192 * KiB, len=4 * MiB)
    partial.expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB - 64 * KiB), len=2 * MiB)
    for image in (shown.target, partial.target, none.image, top.image):
        image.expect_clean()
    none.image.expect_identical(none.content)
    shown.target.expect_identical(before)

    t.step("the next machine takes up what was left half done")
    t.start()
    job = t.drive_backup(top, partial.target, sync="top", mode="existing")
    job.wait().expect_completed().expect(len=2 * MiB)
    t.shutdown()
    job.target.expect_identical(top)
    shown.target.expect_identical(before)
