"""A throttle group tells all its limits, takes new ones as a whole, and none that contradict each other."""

from backcheck import Case, JsonObject, MiB, case

BOTH = "bps/iops/max total values and read/write values cannot be used at the same time"
REFUSED: tuple[tuple[JsonObject, str], ...] = (
    ({"bps-total": 1000, "bps-read": 4}, BOTH),
    ({"iops-total": 10, "iops-total-max": 5}, "bps_max/iops_max cannot be lower than bps/iops"),
    ({"iops-total-max": 5}, "bps_max/iops_max require corresponding bps/iops values"),
    ({"bps-write": 10, "bps-write-max-length": 5}, "bps_max_length/iops_max_length require max values"),
)


@case(rules=["THR-01"], groups=["throttle", "error", "quick"])
def run(t: Case) -> None:
    t.node("throttled", tree={"driver": "throttle", "throttle-group": "tg0", "file": {"driver": "null-co", "size": MiB}})
    t.start("-object", "throttle-group,id=tg0,x-bps-total=1048576,x-bps-total-max=2097152,x-iops-size=4096")

    def limits() -> JsonObject:
        told = t.qmp("qom-get", path="tg0", property="limits")
        return told if isinstance(told, dict) else {}

    t.step("as they were given")
    given = limits()
    t.expect("members", len(given), 19)
    t.expect("bps-total-max", given["bps-total-max"], 2 * MiB)

    t.step("what is not given is not limited any more")
    t.qmp("qom-set", path="/objects/tg0", property="limits", value={"iops-read": 7, "iops-read-max": 70})
    t.expect("set", {key: value for key, value in limits().items() if value not in (0, 1)}, {
        "iops-read": 7, "iops-read-max": 70
    })

    t.step("what is refused changes nothing")
    for wrong, error in REFUSED:
        t.expect_error("qom-set", path="tg0", property="limits", value=wrong, error=error)
    t.expect_error("qom-set", path="tg0", property="limits", value={"bps-total": -1})
    t.expect_error("qom-set", path="tg0", property="limits", value={"nope": 1})
    t.expect_error("qom-set", path="tg0", property="limits", value=5)
    t.expect_error("qom-set", path="tg0", property="x-bps-total", value=4)
    t.expect_error("qom-get", path="tg0", property="nope")
    t.expect_error("qom-get", path="nope", property="limits", error_class="DeviceNotFound")
    t.expect("iops-read", limits()["iops-read"], 7)
