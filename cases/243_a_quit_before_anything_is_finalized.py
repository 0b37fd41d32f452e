"""quit finalizes nothing: a pending group owes all it copied, a concluded job nothing, a pending one beside it all."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["QUIT-01", "QUIT-04", "QUIT-05", "QUIT-08", "TXN-10", "BMP-17"],
    groups=["quit", "transaction", "persistent", "quick"],
)
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=MiB) for number in range(4)]
    owed = [disk.add_bitmap("b0", granularity=64 * KiB, persistent=True) for disk in disks]
    for disk in disks:
        disk.write(0x11, offset=0, length=512 * KiB)
    backups = [
        t.drive_backup_action(
            disk,
            f"target{number}.img",
            sync="incremental",
            bitmap=owed[number],
            auto_finalize=number == 2,
            auto_dismiss=False,
        )
        for number, disk in enumerate(disks)
    ]
    grouped = t.transaction(*backups[:2], grouped=True)
    concluded, pending = t.transaction(*backups[2:], grouped=False)
    for job in (*grouped, pending):
        job.wait()
    concluded.wait().expect_completed()

    t.step("quit")
    t.quit()
    for job in (*grouped, pending):
        job.expect_cancelled().expect(len=512 * KiB, offset=512 * KiB)
    for job in (*grouped, concluded, pending):
        job.target.expect_clean()
    concluded.target.expect_identical(disks[2].content)

    t.step("what the next machine owes")
    t.start()
    for bitmap, count in zip(owed, (512, 512, 0, 512), strict=True):
        bitmap.expect(count=count * KiB, busy=False, persistent=True, recording=True)
