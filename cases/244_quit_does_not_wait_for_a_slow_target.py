"""quit lets go what a throttled target makes wait: the guest's writes are done, and copied first, before the end."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(rules=["QUIT-09", "THR-03", "CBW-01", "QUIT-01"], groups=["quit", "throttle", "cbw", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    target = t.image("target0.img", size=4 * MiB, format="raw")
    expected = t.image("expected.img", size=4 * MiB, format="raw")
    disk.image.write(0x11)
    expected.write(0x11, offset=0, length=64 * KiB)
    expected.write(0x11, offset=MiB, length=64 * KiB)
    expected.write(0x11, offset=2 * MiB, length=128 * KiB)
    layer: JsonObject = {"driver": "raw", "file": {"driver": "file", "filename": target.name}}
    t.node("throttled", tree={"driver": "throttle", "throttle-group": "tg0", "file": layer})
    t.start("-object", "throttle-group,id=tg0,x-bps-total=1")
    job = t.blockdev_backup(disk, "throttled", sync="none")

    t.step("a byte a second: the first copy is free, the next would take a day")
    disk.write(0x22, offset=4 * KiB, length=4 * KiB)
    requests = [
        disk.aio_write(0x22, offset=MiB, length=4 * KiB),
        disk.aio_write(0x33, offset=2 * MiB + 60 * KiB, length=8 * KiB),
    ]
    for request in requests:
        request.expect_waiting()
    job.expect_query(status="running", offset=64 * KiB)

    t.step("quit")
    t.quit()
    for request in requests:
        request.wait()
    job.expect_cancelled().expect(offset=256 * KiB, len=4 * MiB, error=None)
    disk.image.expect_identical(disk.content)
    target.expect_identical(expected)
