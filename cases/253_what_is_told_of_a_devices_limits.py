"""query-block tells a device's limits and its group, whose members share them; who leaves it is not limited."""

from backcheck import Case, JsonObject, MiB, case

FREE: JsonObject = {"bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}
TOLD = ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")
BOTH = "bps/iops/max total values and read/write values cannot be used at the same time"


@case(rules=["THR-05"], groups=["throttle", "query", "quick"])
def run(t: Case) -> None:
    grouped = t.drive("disk0", size=MiB, bps="1048576", group="g0")
    plain = t.drive("disk2", size=MiB)
    burst = "iops-total=7,throttling.iops-total-max=70,throttling.iops-total-max-length=3,throttling.iops-size=8192"
    t.start("-drive", f"if=none,id=disk1,driver=null-co,throttling.{burst}")

    def tell() -> None:
        for name in ("disk0", "disk1", "disk2"):
            told = t.inserted(name)
            more = sorted(key for key in told if key.startswith(("bps_", "iops_")) and key not in TOLD)
            t.record(name, told, [*TOLD, *more, *(["group"] if "group" in told else [])])

    t.step("as they were given: a group is called after its first device, if nobody says how")
    tell()
    t.expect("group", t.inserted("disk1")["group"], "disk1")

    t.step("who joins a group brings limits for all of it")
    t.qmp("block_set_io_throttle", {**FREE, "device": "disk2", "bps_wr": 4096, "group": "g0"})
    tell()
    t.expect("bps_wr", [t.inserted(disk)["bps_wr"] for disk in (grouped, plain)], [4096, 4096])

    t.step("what is refused changes nothing")
    t.expect_error("block_set_io_throttle", {**FREE, "device": "disk0", "bps": 4, "bps_rd": 5}, error=BOTH)
    t.expect_error("block_set_io_throttle", {**FREE, "device": "disk0-node", "bps": 4}, error_class="DeviceNotFound")
    t.expect_error("block_set_io_throttle", FREE)
    t.expect_error("block_set_io_throttle", {**FREE, "device": "disk0", "bps": 4, "bps_max": 2})
    t.expect_error("block_set_io_throttle", {**FREE, "device": "disk0", "bps": -4})
    tell()

    t.step("who leaves it takes no limits along, nor does the rest lose them")
    t.qmp("block_set_io_throttle", {**FREE, "device": "disk2"})
    t.expect("group", "group" in t.inserted(plain), False)
    tell()

    t.step("during a backup, limits stay the device's")
    job = t.drive_backup(grouped, "target.img", sync="none")
    tell()
    job.cancel()
    job.wait().expect_cancelled()
    tell()
