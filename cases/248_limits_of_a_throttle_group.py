"""A throttle group tells all its limits, keeps those that new ones do not name, and refuses what contradicts them."""

from backcheck import Case, JsonObject, MiB, case

BOTH = "bps/iops/max total values and read/write values cannot be used at the same time"
REFUSED: tuple[tuple[JsonObject, str], ...] = (
    ({"bps-read": 4}, BOTH),
    ({"iops-read": 0, "iops-read-max": 0, "iops-total": 10, "bps-write": 4}, BOTH),
    ({"bps-total-max": 5}, "bps_max/iops_max cannot be lower than bps/iops"),
    ({"iops-write-max": 5}, "bps_max/iops_max require corresponding bps/iops values"),
    ({"iops-write": 10, "iops-write-max-length": 5}, "burst length set without burst rate"),
    ({"iops-read-max-length": 0}, "the burst length cannot be 0"),
)


@case(rules=["THR-01"], groups=["throttle", "error", "quick"])
def run(t: Case) -> None:
    t.node(
        "throttled", tree={"driver": "throttle", "throttle-group": "tg0", "file": {"driver": "null-co", "size": MiB}}
    )
    t.start("-object", "throttle-group,id=tg0,x-bps-total=1048576,x-bps-total-max=2097152")

    def limits() -> JsonObject:
        told = t.qmp("qom-get", path="tg0", property="limits")
        return told if isinstance(told, dict) else {}

    t.step("as they were given")
    given = limits()
    t.expect("members", len(given), 19)
    t.expect("bps-total-max", given["bps-total-max"], 2 * MiB)

    t.step("what is not named stays")
    t.qmp("qom-set", path="/objects/tg0", property="limits", value={"iops-read": 7, "iops-read-max": 70})
    changed = limits()
    t.expect("named", [changed["iops-read"], changed["iops-read-max"]], [7, 70])
    t.expect("not named", [changed["bps-total"], changed["bps-total-max"]], [MiB, 2 * MiB])

    t.step("what is refused changes nothing")
    for wrong, error in REFUSED:
        t.expect_error("qom-set", path="tg0", property="limits", value=wrong, error=error)
    t.expect_error("qom-set", path="tg0", property="limits", value={"bps-total": -1})
    t.expect_error("qom-set", path="tg0", property="limits", value={"nope": 1})
    t.expect_error("qom-set", path="tg0", property="limits", value=5)
    t.expect_error("qom-set", path="tg0", property="x-bps-total", value=4)
    t.expect_error("qom-get", path="tg0", property="nope")
    t.expect_error("qom-get", path="nope", property="limits", error_class="DeviceNotFound")
    t.expect("limits", limits(), changed)
