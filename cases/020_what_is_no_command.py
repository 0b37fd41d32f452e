"""A command is an object with a known name and an object of arguments; anything else has an error of its own."""

from backcheck import Case, JsonValue, MiB, case


@case(rules=["ERR-05", "ERR-07"], groups=["error", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)

    t.step("unknown names are of class CommandNotFound")
    for name in ("backup", "drive_backup", "Drive-backup"):
        t.expect_error(name, error=f"The command {name} has not been found", error_class="CommandNotFound")

    t.step("arguments that are no object, and members that belong to no command")
    no_objects: list[JsonValue] = [[], "disk0", 1, None]
    for arguments in no_objects:
        t.qmp_object({"execute": "drive-backup", "arguments": arguments})
    t.qmp_object({"execute": "drive-backup", "argument": {}})
    t.qmp_object({"execute": 1})
