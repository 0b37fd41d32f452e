"""When a transaction fails, its snapshots are undone: drives are on their old nodes, and new files are left behind."""

from backcheck import Action, Case, KiB, MiB, case


@case(rules=["TXN-01", "TXN-04"], groups=["transaction", "snapshot", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disks = [t.drive("disk0", size=4 * MiB), t.drive("disk1", size=4 * MiB)]
    t.image("layer1.img", size=4 * MiB, format="qcow2")
    t.node("layer1", tree={"driver": "qcow2", "backing": None, "file": {"driver": "file", "filename": "layer1.img"}})
    owed = disks[0].add_bitmap("b0")
    for disk in disks:
        disk.write(0x11, offset=0, length=64 * KiB)

    def snapshots(file: str) -> list[Action]:
        new = {"device": "disk0", "snapshot-file": file, "snapshot-node-name": "layer0", "format": "qcow2"}
        return [
            Action("blockdev-snapshot-sync", new),
            Action("blockdev-snapshot", node="disk1-node", overlay="layer1"),
            Action("block-dirty-bitmap-add", node="layer0", name="above"),
            owed.action("disable"),
        ]

    t.step("undone: the drives are where they were, and the overlay is free")
    t.expect_transaction_error(*snapshots("left.img"), Action("abort"), error="Transaction aborted using Abort action")
    for disk in disks:
        inserted = t.inserted(disk)
        t.expect_state(f"drive {disk.id}", inserted, node_name=disk.node_name, backing_file_depth=0)
        disk.write(0x22, offset=MiB, length=64 * KiB)
    names = [node["node-name"] for node in t.nodes()]
    t.expect("layer0 and layer1", ["layer0" in names, "layer1" in names], [False, True])
    owed.expect(count=128 * KiB, recording=True)

    t.step("the same without the abort: the drives are on their new nodes")
    before = [disk.content for disk in disks]
    t.transaction(*snapshots("layer0.img"))
    for disk, name in zip(disks, ("layer0", "layer1"), strict=True):
        t.expect_state(f"drive {disk.id}", t.inserted(disk), node_name=name, backing_file_depth=1)
        disk.write(0x33, offset=2 * MiB, length=64 * KiB)
        disk.read(0x22, offset=MiB, length=64 * KiB)
    owed.expect(count=128 * KiB, recording=False)
    t.bitmap("layer0", "above").expect(count=64 * KiB)

    t.step("the file that was left is an overlay that nothing was written to")
    t.shutdown()
    left, layer = (t.existing_image(name, format="qcow2") for name in ("left.img", "layer0.img"))
    left.expect_clean()
    left.expect_identical(before[0])
    left.record_map()
    layer.expect_identical(disks[0].content)
    for disk, content in zip(disks, before, strict=True):
        disk.image.expect_identical(content)
