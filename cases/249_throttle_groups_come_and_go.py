"""A throttle group is made and deleted while the machine runs; none that a node uses, and no name twice."""

from backcheck import Case, JsonObject, MiB, case

GROUP = {"qom-type": "throttle-group", "id": "tg0"}


@case(
    rules=["THR-02"],
    groups=["throttle", "error", "quick"],
    not_on={"qemu<6.0": "object-add has its properties in `props` (THR-02)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    t.node("null0", tree={"driver": "null-co", "size": MiB})
    node: JsonObject = {"driver": "throttle", "node-name": "throttled", "file": "null0"}

    t.step("what is no group")
    for wrong in (
        {"id": "tg0"},
        {"qom-type": "throttle-group"},
        {"qom-type": "nope", "id": "tg0"},
        {"qom-type": "throttle-group", "id": "1a"},
        {**GROUP, "limits": {"iops-total-max": 5}},
        {**GROUP, "limits": {"nope": 5}},
        {**GROUP, "limits": {"iops-total": "x"}},
        {**GROUP, "nope": 5},
    ):
        t.expect_error("object-add", wrong)
    t.expect_error("blockdev-add", {**node, "throttle-group": "tg0"}, error="Throttle group 'tg0' does not exist")
    t.expect_error("blockdev-add", node)
    t.expect_error("object-del", id="tg0", error="object 'tg0' not found")

    t.step("one is made, and used")
    t.qmp("object-add", {**GROUP, "limits": {"bps-read": 1}})
    t.expect_error("object-add", {**GROUP})
    t.qmp("blockdev-add", {**node, "throttle-group": "tg0"})
    t.expect_error("object-del", id="tg0")
    job = t.blockdev_backup(disk, "throttled", speed=1, x_perf={"max-chunk": 65536})
    job.wait_asleep()
    t.expect_error("object-del", id="tg0")
    job.set_speed(0)
    job.wait().expect_completed()

    t.step("a node that goes lets its group go")
    t.qmp("blockdev-del", node_name="throttled")
    t.qmp("object-del", id="tg0")
    t.expect_error("qom-get", path="tg0", property="limits")
    t.qmp("object-add", {**GROUP})
