"""A burst lets requests through up to its own size, and a request larger than iops_size counts as several."""

from backcheck import Case, JsonObject, KiB, MiB, case

FREE: JsonObject = {"bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}


@case(rules=["THR-04", "THR-07", "THR-08"], groups=["throttle", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)

    t.step("a byte a second, but a MiB in a burst: only what comes when that is exceeded waits")
    t.qmp("block_set_io_throttle", {**FREE, "device": "disk0", "bps_wr": 1, "bps_wr_max": MiB})
    for number in range(5):
        disk.write(0x11 + number, offset=number * 256 * KiB, length=256 * KiB)
    request = disk.aio_write(0x22, offset=2 * MiB, length=4 * KiB)
    request.expect_waiting()
    disk.read(0x11, offset=0, length=256 * KiB)
    t.qmp("block_set_io_throttle", {**FREE, "device": "disk0"})
    request.wait()

    t.step("without a burst, one request is enough")
    t.qmp("block_set_io_throttle", {**FREE, "device": "disk0", "bps_wr": 1})
    disk.write(0x33, offset=0, length=4 * KiB)
    request = disk.aio_write(0x33, offset=4 * KiB, length=4 * KiB)
    request.expect_waiting()
    t.qmp("block_set_io_throttle", {**FREE, "device": "disk0"})
    request.wait()

    limits: JsonObject = {**FREE, "device": "disk0", "iops": 1, "iops_max": 256, "iops_size": 4 * KiB}
    t.step("256 requests in a burst, and small ones are one each")
    t.qmp("block_set_io_throttle", limits)
    for number in range(8):
        disk.write(0x44, offset=number * 4 * KiB, length=4 * KiB)

    t.step("one of a MiB is 256 of them")
    t.qmp("block_set_io_throttle", limits)
    for number in range(2):
        disk.write(0x55 + number, offset=number * MiB, length=MiB)
    request = disk.aio_write(0x66, offset=0, length=4 * KiB)
    request.expect_waiting()
    t.qmp("block_set_io_throttle", {**FREE, "device": "disk0"})
    request.wait()
    t.shutdown()
    disk.image.expect_identical(disk.content)
