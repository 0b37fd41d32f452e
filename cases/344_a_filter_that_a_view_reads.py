"""A filter stays while a view reads through it, and is not asked whether its target is as long as its disk."""

from backcheck import Case, MiB, case


@case(
    rules=["FLT-13", "FLT-14"],
    groups=["filter", "quick"],
    requires=["driver:copy-before-write", "driver:snapshot-access"],
)
def run(t: Case) -> None:
    t.drive("disk0", size=2 * MiB)
    t.node("short", size=MiB)
    t.node("long", size=4 * MiB)

    for target in ("short", "long"):
        t.step(f"a filter with the {target} target")
        t.qmp(
            "blockdev-add", {"driver": "copy-before-write", "node-name": "cbw", "file": "disk0-node", "target": target}
        )
        t.qmp("blockdev-add", {"driver": "snapshot-access", "node-name": "view", "file": "cbw"})
        shown = t.node_info("view")["image"]
        assert isinstance(shown, dict)
        t.expect("size of the view", shown["virtual-size"], 2 * MiB)

        t.step(f"the filter with the {target} target goes after the view")
        t.expect_error("blockdev-del", node_name="cbw")
        t.expect_error("blockdev-del", node_name=target)
        t.qmp("blockdev-del", node_name="view")
        t.qmp("blockdev-del", node_name="cbw")
        t.qmp("blockdev-del", node_name=target)
