"""An expression may stand where the human monitor takes a whole number: its operators, their order, its errors."""

from backcheck import Case, MiB, case

VALUES = {
    "1+1": 2,
    "(2*3)": 6,
    "2+3*4": 14,
    "(2+3)*4": 20,
    "7/2": 3,
    "7%4": 3,
    "10-2-3": 5,
    "0x1f": 31,
    "010": 8,
    "1|6": 7,
    "7&3": 3,
    "5^1": 4,
    "-(-9)": 9,
    "+5": 5,
    "~-12": 11,
    "3|1+2": 5,
    "6&3+1": 3,
    "1|2*3": 7,
    "'A'": 65,
    "(1 + 2)": 3,
}
WRONG = ("a", "5/0", "5%0", "$pc", '"1"', "(1", "1+", "'A", "'", "1)", "0x")


@case(rules=["HMP-04"], groups=["hmp", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    t.start()

    def limit(text: str) -> str:
        return str(t.ask("human-monitor-command", {"command-line": f"block_set_io_throttle disk0 {text} 0 0 0 0 0"}))

    t.step("values")
    for text, value in VALUES.items():
        t.expect(f"answer to {text}", limit(text), "")
        t.expect(f"value of {text}", t.inserted(disk).get("bps"), value)
    t.hmp("block_set_io_throttle disk0 6 0 0 1000000 0 0")
    t.expect_state("limits of disk0", t.inserted(disk), bps=6, iops=1000000, group="disk0")

    t.step("no values: the limits stay")
    for text in WRONG:
        t.hmp(f"block_set_io_throttle disk0 {text} 0 0 0 0 0")
    t.hmp("block_set_io_throttle disk0 1 0 0 0 0")
    t.hmp("block_set_io_throttle disk0 1 0 0 0 0 0 0")
    t.expect("bps", t.inserted(disk)["bps"], 6)

    t.step("values that are no limits, and none")
    t.hmp("block_set_io_throttle disk0 -1 0 0 0 0 0")
    t.hmp("block_set_io_throttle disk0 1 1 0 0 0 0")
    t.hmp("block_set_io_throttle nope 1 0 0 0 0 0")
    t.hmp("block_set_io_throttle disk0 0 0 0 0 0 0")
    t.expect("group", t.inserted(disk).get("group"), None)
