"""A machine does not leave while a backup is there, not even a paused one: the migration fails, the job goes on."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(
    rules=["QUIT-06", "QUIT-01"],
    groups=["quit", "error"],
    requires=["command:migrate"],
    not_on={"qemu<6.0": "it says completed, and aborts when the job goes on (QUIT-06)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    job = t.drive_backup(disk, speed=64 * KiB)
    job.pause().reach("paused")
    told = job.offset()

    t.step("the machine is to leave")
    t.qmp("migrate", uri="exec:cat > machine")
    t.poll(lambda: _migration(t).get("status") in ("completed", "failed"), "the end of the migration")
    outcome = _migration(t)
    t.expect("status", outcome.get("status"), "failed")
    t.record("migration", outcome, keys=["status", "error-desc"])
    job.expect_query(status="paused")
    t.expect("offset", job.offset(), told)

    t.step("guest and job go on as if nothing had been")
    disk.write(0x22, offset=3 * MiB, length=64 * KiB)
    job.resume().set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    job.target.expect_identical(before)
    job.target.expect_clean()


def _migration(t: Case) -> JsonObject:
    told = t.ask("query-migrate")
    assert isinstance(told, dict)
    return told
