"""blockdev-reopen gives a node what it is told, of all options: writable or not, discards, zeroes, another backing."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(
    rules=["GRAPH-10", "PERM-01"],
    groups=["graph", "reopen", "quick"],
    requires=["command:blockdev-reopen"],
)
def run(t: Case) -> None:
    old, new = (t.image(f"{name}.img", size=2 * MiB) for name in ("old", "new"))
    old.write(0x11)
    new.write(0x22)
    top = t.image("top.img", backing=old)
    for image in (old, new):
        t.node(image.name.removesuffix(".img"), image=image)
    t.node("top-file", tree={"driver": "file", "filename": "top.img"})
    tree: JsonObject = {"driver": "qcow2", "file": "top-file"}
    t.node("top", tree={**tree, "backing": "old"})
    now: JsonObject = {**tree, "node-name": "top"}
    user = t.guest_on("top", top)

    t.step("another backing")
    user.read(0x11, offset=0, length=64 * KiB)
    t.qmp("blockdev-reopen", options=[{**now, "backing": "new"}])
    user.read(0x22, offset=0, length=64 * KiB)
    t.expect_error("blockdev-reopen", options=[{**now, "backing": "nope"}])
    user.read(0x22, offset=0, length=64 * KiB)

    t.step("no writing, and writing again")
    t.qmp("blockdev-reopen", options=[{**now, "backing": "new", "read-only": True}])
    t.expect_state("node top", t.node_info("top"), ro=True)
    t.hmp('qemu-io top "write -P 0x33 0 64k"')
    t.qmp("blockdev-reopen", options=[{**now, "backing": "new"}])
    t.expect_state("node top", t.node_info("top"), ro=False)
    user.write(0x33, offset=0, length=64 * KiB)

    t.step("zeroes are looked for only as long as it is told so")
    t.qmp("blockdev-reopen", options=[{**now, "backing": "new", "detect-zeroes": "on"}])
    t.expect_state("node top", t.node_info("top"), detect_zeroes="on")
    user.write(0, offset=MiB, length=64 * KiB)
    t.qmp("blockdev-reopen", options=[{**now, "backing": "new"}])
    t.expect_state("node top", t.node_info("top"), detect_zeroes="off")
    user.write(0, offset=MiB + 64 * KiB, length=64 * KiB)

    t.step("discards are taken only when it is told so, and so from then on")
    t.qmp("blockdev-reopen", options=[{**now, "backing": "new", "discard": "ignore"}])
    user.discard(offset=0, length=64 * KiB)
    user.read(0x33, offset=0, length=64 * KiB)
    t.qmp("blockdev-reopen", options=[{**now, "backing": "new", "discard": "unmap"}])
    user.discard(offset=0, length=64 * KiB)
    user.read(0, offset=0, length=64 * KiB)
    t.shutdown()
    zeroed = [extent for extent in top.map() if extent.depth == 0]
    t.record("zeroes of top", {"extents": [[extent.start, extent.length, extent.data] for extent in zeroed]})
    expected = [[0, 64 * KiB, False], [MiB, 64 * KiB, False], [MiB + 64 * KiB, 64 * KiB, True]]
    t.expect("own extents of top", [[extent.start, extent.length, extent.data] for extent in zeroed], expected)
