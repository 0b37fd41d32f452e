"""Both commands are actions of a transaction, with all their arguments, and lone commands are such transactions."""

from backcheck import Action, Case, KiB, MiB, case


@case(rules=["ARG-03", "ERR-04", "TXN-16"], groups=["arg", "transaction", "quick"])
def run(t: Case) -> None:
    first, second = t.drive("disk0", size=4 * MiB), t.drive("disk1", size=4 * MiB)
    target = t.node("target1", size=4 * MiB)
    for disk in (first, second):
        disk.write(0x11, offset=0, length=4 * MiB)
    before = first.content

    t.step("the schema knows both")
    schema = t.command_schema("transaction")
    kinds = schema.arguments["actions"].type if schema else ""
    t.expect("actions", [f"'{kind}'" in kinds for kind in ("drive-backup", "blockdev-backup")], [True, True])

    t.step("an argument that an action has not is named with its path")
    wanted = {"job-id": "job9", "device": "disk1", "target": "target1", "sync": "full", "mode": "existing"}
    error = "Parameter 'actions[1].data.mode' is unexpected"
    t.expect_transaction_error(Action("abort"), Action("blockdev-backup", wanted), error=error)
    t.expect_transaction_error(
        Action("drive-backup", device="disk0"), error="Parameter 'actions[0].data.sync' is missing"
    )

    t.step("both start in one transaction, each as it is told")
    jobs = t.transaction(
        t.drive_backup_action(first, "target0.img", speed=64 * KiB, filter_node_name="filter0"),
        t.blockdev_backup_action(second, target, speed=64 * KiB, auto_finalize=False),
    )
    t.expect("node of disk0", t.inserted(first)["node-name"], "filter0")
    for disk in (first, second):
        disk.write(0x22, offset=3 * MiB, length=64 * KiB)

    t.step("and end each for itself")
    jobs[0].set_speed(0)
    jobs[0].wait().expect_completed().expect(len=4 * MiB)
    jobs[0].target.expect_identical(before)
    jobs[1].set_speed(0)
    jobs[1].wait()
    jobs[1].finalize().wait().expect_completed().expect(len=4 * MiB)
    t.shutdown()
    target.expect_identical(before)
