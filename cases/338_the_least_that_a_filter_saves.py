"""A filter saves clusters of the size that it was told, or of the target's if that is larger."""

from backcheck import Case, Content, JsonObject, KiB, MiB, Node, case


@case(
    rules=["FLT-09", "FLT-04", "SIZE-01"],
    groups=["filter", "cbw", "size", "error", "quick"],
    requires=["driver:copy-before-write"],
)
def run(t: Case) -> None:
    image = t.image("disk0.img", size=4 * MiB)
    image.write(0x11)
    t.node("disk0", image=image)

    def tree(store: str, size: int) -> JsonObject:
        return {"driver": "copy-before-write", "file": "disk0", "target": store, "min-cluster-size": size}

    t.step("what is no size of a cluster")
    t.node("plain0", size=4 * MiB)
    for size in (3 * KiB, 1 << 63, 65537):
        t.expect_error("blockdev-add", {**tree("plain0", size), "node-name": "filter0"})
    if t.release < (9, 2):
        # There it is no option at all.
        return

    stores: dict[Node, Content] = {}
    for own, least in (("64k", 0), ("64k", 1), ("64k", 128 * KiB), ("64k", MiB), ("2M", 128 * KiB)):
        t.step(f"at least {least} into clusters of {own}")
        name = f"store{len(stores)}"
        # Written all over, what it saves is told from what it had.
        store = t.image(f"{name}.img", size=4 * MiB, options={"cluster_size": own})
        store.write(0x99)
        node = t.node(name, image=store)
        before = store.content
        above = f"filter{len(stores)}"
        t.node(above, tree=tree(name, least))
        t.guest_on(above, image).write(0x11, offset=2 * MiB + 192 * KiB - 512, length=1024)
        unit = max(64 * KiB, least, 2 * MiB if own == "2M" else 0)
        start = (2 * MiB + 192 * KiB - 512) // unit * unit
        end = -(-(2 * MiB + 192 * KiB + 512) // unit) * unit
        stores[node] = before.written(0x11, start, end - start)
        t.qmp("blockdev-del", node_name=above)
    t.shutdown()
    for node, content in stores.items():
        node.expect_identical(content)
