"""What the schema refuses is told in the schema's order: first members it knows, then those it does not."""

from backcheck import Case, JsonObject, MiB, case

REFUSED: list[tuple[JsonObject, str]] = [
    ({}, "Parameter 'device' is missing"),
    ({"device": "disk0"}, "Parameter 'sync' is missing"),
    ({"device": "disk0", "sync": "full"}, "Parameter 'target' is missing"),
    ({"device": "disk0", "sync": "full", "foo": 1}, "Parameter 'target' is missing"),
    ({"sync": "wrong", "speed": "wrong"}, "Parameter 'device' is missing"),
    ({"device": 1, "sync": 1, "target": 1}, "Invalid parameter type for 'device', expected: string"),
    ({"device": "disk0", "sync": "full", "target": None}, "Invalid parameter type for 'target', expected: string"),
    (
        {"mode": "wrong", "target": "a.img", "speed": "wrong", "sync": "full", "device": "disk0"},
        "Invalid parameter type for 'speed', expected: integer",
    ),
    (
        {"device": "disk0", "sync": "full", "target": "a.img", "auto-dismiss": 1, "auto-finalize": "no"},
        "Invalid parameter type for 'auto-finalize', expected: boolean",
    ),
    ({"device": "disk0", "sync": "full", "target": "a.img", "foo": 1}, "Parameter 'foo' is unexpected"),
]


@case(rules=["ERR-01", "ERR-02", "ERR-03", "ERR-04"], groups=["error", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    for arguments, error in REFUSED:
        t.expect_error("drive-backup", arguments, error=error, error_class="GenericError")
    t.expect("a.img exists", t.existing_image("a.img").exists(), False)
