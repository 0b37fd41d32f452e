"""A transaction with an action that makes no sense does none of them; the error says where it is."""

from backcheck import Action, Case, JsonObject, KiB, MiB, case

CLEAR: JsonObject = {"type": "block-dirty-bitmap-clear", "data": {"node": "disk0-node", "name": "b0"}}
BACKUP: JsonObject = {"device": "disk0", "target": "target.img", "sync": "full"}


@case(rules=["TXN-12", "TXN-13", "ERR-04", "ERR-02", "ERR-03"], groups=["transaction", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    owed = disk.add_bitmap("b0")
    disk.write(0x11, offset=0, length=64 * KiB)

    t.step("an empty one is fine")
    for properties in ({}, {"completion-mode": "individual"}, {"completion-mode": "grouped"}):
        t.qmp("transaction", {"actions": [], "properties": properties})
    t.qmp("transaction", {"actions": []})

    t.step("an action of no type that there is")
    for type in ("foo", "drive-mirror", "Abort", ""):
        t.expect_error("transaction", {"actions": [CLEAR, {"type": type, "data": {}}]})
    t.expect_error("transaction", {"actions": [CLEAR, {"data": {}}]}, error="Parameter 'actions[1].type' is missing")

    t.step("an action whose data is wrong")
    for error, data in {
        "Parameter 'actions[1].data.sync' is missing": {"device": "disk0", "target": "target.img"},
        "Parameter 'actions[1].data.foo' is unexpected": {**BACKUP, "foo": 1},
        "Invalid parameter type for 'actions[1].data.speed', expected: integer": {**BACKUP, "speed": "fast"},
        "Parameter 'actions[1].data.device' is missing": {"foo": 1},
    }.items():
        t.expect_error("transaction", {"actions": [CLEAR, {"type": "drive-backup", "data": data}]}, error=error)
    for error, action in {
        "Parameter 'actions[1].data' is missing": {"type": "abort"},
        "Parameter 'actions[1].data.foo' is unexpected": {"type": "abort", "data": {"foo": 1}},
        "Parameter 'actions[1].foo' is unexpected": {"type": "abort", "data": {}, "foo": 1},
        "Invalid parameter type for 'actions[1].data', expected: object": {"type": "abort", "data": []},
    }.items():
        t.expect_error("transaction", {"actions": [CLEAR, action]}, error=error)

    t.step("what is around the actions")
    t.expect_error("transaction", error="Parameter 'actions' is missing")
    t.expect_error("transaction", actions={}, error="Invalid parameter type for 'actions', expected: array")
    t.expect_error("transaction", actions=[CLEAR, 3], error="Invalid parameter type for 'actions[1]', expected: object")
    t.expect_error("transaction", actions=[CLEAR], properties={"completion-mode": "all"})
    t.expect_error(
        "transaction", actions=[CLEAR], properties={"foo": 1}, error="Parameter 'properties.foo' is unexpected"
    )

    t.step("nothing was cleared; then it is")
    t.expect("target.img exists", t.existing_image("target.img").exists(), False)
    owed.expect(count=64 * KiB)
    t.transaction(owed.action("clear"), Action("block-dirty-bitmap-add", node="disk0-node", name="b1"))
    owed.expect(count=0)
