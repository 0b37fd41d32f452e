"""A client can ask in which layer the data of an export are: in none, its own, or one below."""

from backcheck import Case, JsonObject, KiB, MiB, case

DEPTHS = {(False, True): 0, (False, False): 1, (True, True): 2}
"""Zero and data of the map -> depth."""


@case(rules=["EXP-09"], groups=["nbd", "export", "chain"])
def run(t: Case) -> None:
    base = t.image("base.img", size=MiB)
    base.write(0x11, offset=0, length=192 * KiB)
    middle = t.image("middle.img", size=2 * MiB, backing=base)
    middle.write(0x22, offset=128 * KiB, length=128 * KiB)
    top = t.image("top.img", size=2 * MiB + 512, backing=middle)
    top.write(0x33, offset=64 * KiB, length=64 * KiB)
    top.write_zeroes(offset=512 * KiB, length=64 * KiB)
    disk = t.drive("disk0", image=top)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    export: JsonObject = {"type": "nbd", "id": "e0", "node-name": disk.node_name, "name": "disk0"}
    t.qmp("block-export-add", {**export, "allocation-depth": True})
    t.qmp("block-export-add", {**export, "id": "e1", "name": "plain"})

    def depths() -> list[list[int]]:
        """Start, length and depth of what QEMU's client makes a map of."""
        address = "driver=nbd,server.type=unix,server.path=nbd.sock,export=disk0"
        extents = t.img_map("disk0", "--image-opts", f"{address},x-dirty-bitmap=qemu:allocation-depth")
        return [[extent.start, extent.length, DEPTHS[extent.zero, extent.data]] for extent in extents]

    t.step("three layers, two of which are short: what lies beyond its end is told as a short layer's")
    layers = [(0, 64, 2), (64, 64, 1), (128, 128, 2), (256, 256, 0), (512, 64, 1), (576, 448, 0), (1024, 1024, 2)]
    told = [[start * KiB, length * KiB, depth] for start, length, depth in layers]
    told[-1][1] += 512
    t.expect("depths", depths(), [*told])

    t.step("what the guest writes is the top layer's")
    disk.write(0x44, offset=256 * KiB, length=64 * KiB)
    t.expect("depths", depths()[3], [256 * KiB, 64 * KiB, 1])

    t.step("an export that was not asked to tells nobody")
    address = "driver=nbd,server.type=unix,server.path=nbd.sock,export=plain"
    asked = t.img("map", "--image-opts", f"{address},x-dirty-bitmap=qemu:allocation-depth")
    t.expect("status of a client that asks", asked.status, 1)
