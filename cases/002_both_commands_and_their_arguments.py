"""Both backup commands are in the schema, with the arguments of their release."""

from backcheck import Case, case


@case(rules=["ARG-01", "ARG-02", "ARG-19", "ARG-20", "ARG-21", "ARG-22", "ARG-23", "ARG-25"], groups=["arg", "quick"])
def run(t: Case) -> None:
    t.start()
    entities = {entity["name"]: entity for entity in t.ask("query-qmp-schema")}

    def describe(command: str) -> dict:
        arguments = entities[entities[command]["arg-type"]]["members"]
        return {member["name"]: member for member in arguments}

    for command in ("drive-backup", "blockdev-backup"):
        t.step(f"{command} has these arguments")
        arguments = describe(command)
        required = sorted(name for name, member in arguments.items() if "default" not in member)
        t.expect(f"required arguments of {command}", required, ["device", "sync", "target"])
        t.expect(f"cbw-timeout among the arguments of {command}", "cbw-timeout" in arguments, False)
        for name in sorted(arguments):
            t.record(f"argument {command}.{name}", {"required": name in required})
        t.record(
            f"command {command}",
            {
                "deprecated": "deprecated" in entities[command].get("features", []),
                "oob": entities[command].get("allow-oob", False),
            },
        )

    t.step("x-perf, where there is one, has these members")
    perf = describe("drive-backup").get("x-perf")
    for member in entities[perf["type"]]["members"] if perf else []:
        t.record(f"argument x-perf.{member['name']}", {"required": "default" not in member})
