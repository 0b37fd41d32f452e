"""During a backup info block shows the filter over the drive, and the target among the nodes."""

from backcheck import Case, MiB, case


@case(rules=["FLT-02", "FLT-03"], groups=["hmp", "filter", "query", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    target = t.drive("target0", size=4 * MiB, format="raw", cache="unsafe")
    t.start("-drive", "if=none,id=empty")

    def lines(command: str) -> list[str]:
        return str(t.ask("human-monitor-command", {"command-line": command})).split("\r\n")

    t.step("at rest")
    t.hmp("info block")
    at_rest = t.hmp("info block disk0")

    t.step("during a backup")
    job = t.blockdev_backup(disk, target, filter_node_name="filter0", auto_finalize=False)
    job.wait()
    t.hmp("info block disk0")
    t.hmp("info block target0")
    t.hmp("info block empty")
    shown = lines("info block -n")
    for name in ("disk0-node", "target0-node", "filter0"):
        t.expect(f"titles of {name}", len([line for line in shown if line.startswith(f"{name}: ")]), 1)
    t.hmp("info block -n disk0-node")
    t.expect("of a node that is below a drive", t.hmp("info block filter0"), t.hmp("info block -n filter0"))

    t.step("in detail")
    shown = lines("info block -v target0-node")
    for line in ("target0-node: target0.img (raw)", "    Cache mode:       writeback, ignore flushes"):
        t.expect(line, line in shown, True)
    for line in ("Images:", "image: target0.img", "file format: raw", "virtual size: 4 MiB (4194304 bytes)"):
        t.expect(line, line in shown, True)
    t.expect("both flags are one order", lines("info block -n -v target0-node"), shown)

    t.step("what there is not, and what cannot be read")
    for rest in ("nope", "-n nope", "-n disk0", "-v -n disk0", "-x", "disk0 empty"):
        t.hmp(f"info block {rest}")

    t.step("afterwards as before")
    job.finalize().wait().expect_completed()
    t.expect("answer", t.hmp("info block disk0"), at_rest)
