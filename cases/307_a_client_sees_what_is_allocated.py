"""Clients are told where an export has data and where zeroes, whichever layer has them, to its very end."""

from itertools import pairwise

from backcheck import Case, KiB, MiB, case


@case(rules=["EXP-07"], groups=["nbd", "export", "size"])
def run(t: Case) -> None:
    base = t.image("base.img", size=2 * MiB)
    base.write(0x11, offset=0, length=256 * KiB)
    base.write(0x11, offset=MiB, length=256 * KiB)
    top = t.image("top.img", size=3 * MiB + 512, backing=base)
    top.write_zeroes(offset=64 * KiB, length=64 * KiB)
    top.write(0x22, offset=512 * KiB, length=64 * KiB)
    top.write(0x22, offset=3 * MiB, length=512)
    disk = t.drive("disk0", image=top)
    t.node("odd0", image=t.image("odd0.img", size=192 * KiB + 1))
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    t.qmp("nbd-server-add", device="disk0")
    t.qmp("nbd-server-add", device="odd0")

    def zeroes(name: str) -> list[int]:
        """Where zeroes begin or end for a client, and where the export does."""
        extents = t.img_map(name, "-f", "raw", f"nbd:unix:nbd.sock:exportname={name}")
        changes = [right.start for left, right in pairwise(extents) if left.zero != right.zero]
        return [*changes, extents[-1].start + extents[-1].length]

    t.step("data of two layers, zeroes over data, and what lies beyond the lower one")
    ends = [64, 128, 256, 512, 576, 1024, 1280, 3072]
    t.expect("changes", zeroes("disk0"), [end * KiB for end in ends] + [3 * MiB + 512])

    t.step("what the guest does is seen by who comes next")
    disk.write(0x33, offset=2 * MiB, length=64 * KiB)
    disk.write_zeroes(offset=0, length=64 * KiB)
    ends = [128, 256, 512, 576, 1024, 1280, 2048, 2112, 3072]
    t.expect("changes", zeroes("disk0"), [end * KiB for end in ends] + [3 * MiB + 512])

    t.step("an export has whole sectors")
    t.expect("changes", zeroes("odd0"), [192 * KiB + 512])
