"""nbdinfo and nbdcopy, which are not QEMU's, see the same export: its size, data, marks, depth and content."""

import json

from backcheck import Case, JsonObject, KiB, MiB, case

KEYS = [
    *("export-name", "description", "export-size", "is_read_only", "contexts", "can_multi_conn", "can_cache"),
    *("can_df", "can_flush", "can_fua", "can_trim", "can_zero", "can_fast_zero"),
]


@case(
    rules=["EXP-07", "EXP-08", "EXP-09"],
    groups=["nbd", "export", "pull"],
    requires=["tool:nbdinfo", "tool:nbdcopy"],
)
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB + 512)
    base.write(0x11, offset=MiB, length=MiB)
    disk = t.drive("disk0", image=t.image("disk0.img", backing=base))
    disk.write(0x22, offset=3 * MiB, length=64 * KiB)
    disk.add_bitmap("b0", granularity=64 * KiB)
    disk.write(0x33, offset=MiB + 4 * KiB, length=64 * KiB)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    export: JsonObject = {"type": "nbd", "id": "e0", "node-name": disk.node_name, "name": "disk0", "writable": True}
    t.qmp("block-export-add", {**export, "description": "a disk", "bitmaps": ["b0"], "allocation-depth": True})
    t.qmp("nbd-server-add", device="disk0", name="sealed")
    url, sealed = (f"nbd+unix:///{name}?socket=nbd.sock" for name in ("disk0", "sealed"))

    t.step("what it is")
    for subject, address in (("disk0", url), ("sealed", sealed)):
        told = json.loads(t.nbdinfo("--json", address).stdout)["exports"][0]
        t.record(f"nbdinfo {subject}", told, KEYS)

    def runs(context: str) -> list[list[int]]:
        """Start, length and type of each run."""
        joined: list[list[int]] = []
        for item in json.loads(t.nbdinfo(f"--map={context}", "--json", url).stdout):
            if joined and joined[-1][2] == item["type"]:
                joined[-1][1] += item["length"]
            else:
                joined.append([item["offset"], item["length"], item["type"]])
        return joined

    t.step("what is where: data 0 and zero holes 3, marked granules 1, layers 1 and 2")
    high, rest = 3 * MiB + 64 * KiB, MiB - 64 * KiB + 512
    alike = [[0, MiB, 3], [MiB, MiB, 0], [2 * MiB, MiB, 3], [3 * MiB, 64 * KiB, 0], [high, rest, 3]]
    t.expect("base:allocation", runs("base:allocation"), [*alike])
    marked = MiB + 128 * KiB
    t.expect(
        "b0", runs("qemu:dirty-bitmap:b0"), [[0, MiB, 0], [MiB, 128 * KiB, 1], [marked, 4 * MiB + 512 - marked, 0]]
    )
    above = [[0, MiB, 0], [MiB, 128 * KiB, 1], [marked, 2 * MiB - marked, 2], [2 * MiB, MiB, 0]]
    t.expect("depth", runs("qemu:allocation-depth"), [*above, [3 * MiB, 64 * KiB, 1], [high, rest, 0]])

    t.step("a copy, over several connections")
    copied = t.nbdcopy("--connections=4", "--requests=8", url, "copy.img")
    t.expect("status of nbdcopy", copied.status, 0)
    t.existing_image("copy.img", format="raw").expect_identical(disk)
