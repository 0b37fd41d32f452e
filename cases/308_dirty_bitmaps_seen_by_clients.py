"""A client that asks for an exported bitmap sees which granules are marked now, the last cut at the end of the disk."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(rules=["EXP-08", "EXP-06"], groups=["nbd", "export", "bitmap", "size"])
def run(t: Case) -> None:
    size = 5 * MiB + 3 * 512
    disk = t.drive("disk0", size=size)
    small = disk.add_bitmap("small", granularity=512)
    disk.add_bitmap("large", granularity=MiB)
    disk.write(0x11, offset=64 * KiB + 512, length=1024)
    disk.write(0x22, offset=3 * MiB - 512, length=1024)
    disk.write(0x33, offset=size - 512, length=512)
    still = disk.add_bitmap("still", granularity=64 * KiB, disabled=True)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    export: JsonObject = {"type": "nbd", "id": "e0", "node-name": disk.node_name, "name": "disk0", "writable": True}
    t.qmp("block-export-add", {**export, "bitmaps": ["small", "large", "still"]})

    def marked(name: str) -> list[list[int]]:
        """Start and length of each run of granules that a client sees marked: what is no data in the map."""
        address = "driver=nbd,server.type=unix,server.path=nbd.sock,export=disk0"
        extents = t.img_map(name, "--image-opts", f"{address},x-dirty-bitmap=qemu:dirty-bitmap:{name}")
        last = extents[-1]
        t.expect("end of the map", last.start + last.length, size)
        return [[extent.start, extent.length] for extent in extents if not extent.data]

    t.step("each bitmap in its granularity")
    runs = [[64 * KiB + 512, 1024], [3 * MiB - 512, 1024], [size - 512, 512]]
    t.expect("small", marked("small"), runs)
    t.expect("large", marked("large"), [[0, MiB], [2 * MiB, 2 * MiB], [5 * MiB, 3 * 512]])
    t.expect("still", marked("still"), [])

    t.step("the guest goes on, and so do those that record")
    disk.write(0x44, offset=4 * MiB, length=512)
    t.expect("small", marked("small"), [*runs[:2], [4 * MiB, 512], runs[2]])
    t.expect("large", marked("large"), [[0, MiB], [2 * MiB, size - 2 * MiB]])
    t.expect("still", marked("still"), [])
    small.expect(count=1024 + 1024 + 512 + 512, busy=True)
    still.expect(count=0, busy=True)

    t.step("what is not exported nobody is told of")
    disk.add_bitmap("private")
    address = "driver=nbd,server.type=unix,server.path=nbd.sock,export=disk0"
    for context in ("qemu:dirty-bitmap:private", "qemu:dirty-bitmap:nope", "qemu:allocation-depth"):
        told = t.img("map", "--image-opts", f"{address},x-dirty-bitmap={context}")
        t.expect(f"a client that asks for {context}", told.status, 1)
        t.record(f"client for {context}", {"told": told.stderr.strip().rpartition("': ")[2]})
