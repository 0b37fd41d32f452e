"""Both backup commands are in the schema, with the arguments of their release."""

from backcheck import Case, case


@case(rules=["ARG-01", "ARG-02", "ARG-19", "ARG-20", "ARG-21", "ARG-22", "ARG-23", "ARG-25"], groups=["arg", "quick"])
def run(t: Case) -> None:
    t.start()
    for name in ("drive-backup", "blockdev-backup"):
        t.step(f"{name} has these arguments")
        command = t.command_schema(name)
        assert command is not None, f"there is no {name}"
        required = sorted(argument for argument, member in command.arguments.items() if not member.optional)
        t.expect(f"required arguments of {name}", required, ["device", "sync", "target"])
        t.expect(f"cbw-timeout among the arguments of {name}", "cbw-timeout" in command.arguments, False)
        for argument, member in sorted(command.arguments.items()):
            t.record(f"argument {name}.{argument}", {"type": member.type, "optional": member.optional})
        t.record(f"command {name}", {"deprecated": "deprecated" in command.features, "oob": command.allow_oob})
