"""A backup reads its source and lets nobody else change it; it writes its target and lets others do so too."""

from collections.abc import Mapping

from backcheck import Case, JsonObject, JsonValue, KiB, MiB, between, case


def objects(graph: JsonValue, key: str) -> list[JsonObject]:
    """One of the lists of a block graph."""
    assert isinstance(graph, Mapping)
    listed = graph[key]
    assert isinstance(listed, list)
    return [item for item in listed if isinstance(item, Mapping)]


def permissions(value: JsonValue) -> str:
    """A set of permissions in one order."""
    assert isinstance(value, list)
    return " ".join(sorted(str(name) for name in value))


@case(rules=["PERM-03", "PERM-06", "FLT-01"], groups=["graph", "permission", "filter"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    target = t.node("target0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    job = t.blockdev_backup(disk, target, speed=64 * KiB, filter_node_name="filter0")

    t.step("what filter, job and drive take of each other, and what they leave to others")
    graph = t.ask("x-debug-query-block-graph")
    names = {node["id"]: str(node["name"]) for node in objects(graph, "nodes")}
    shown = [edge for edge in objects(graph, "edges") if names[edge["child"]] in ("disk0-node", "target0", "filter0")]
    for edge in sorted(shown, key=lambda edge: (names[edge["child"]], str(edge["name"]))):
        child = f"{edge['name']} child {names[edge['child']]} of {names[edge['parent']] or 'the job'}"
        t.record(child, {key: permissions(edge[key]) for key in ("perm", "shared-perm")})

    t.step("the end")
    job.cancel()
    job.wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
