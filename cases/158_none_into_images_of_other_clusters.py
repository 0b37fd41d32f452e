"""sync=none copies clusters of the target, however large they are, over what the target has there."""

from backcheck import Case, KiB, MiB, case

SHAPES = (
    ("512 bytes", {"cluster_size": "512"}, 64 * KiB),
    ("256 KiB of 8 KiB each", {"cluster_size": "256k", "extended_l2": "on"}, 256 * KiB),
    ("2 MiB", {"cluster_size": "2M"}, 2 * MiB),
)
"""The target's clusters, and what is copied for a write of one sector."""


@case(rules=["SIZE-01", "SYNC-10", "TGT-12"], groups=["none", "size"])
def run(t: Case) -> None:
    base = t.image("base.img", size=6 * MiB + 512)
    base.write(0x11)
    pairs = []
    for number, (_, options, _) in enumerate(SHAPES):
        target = t.image(f"target{number}.img", size=6 * MiB + 512, options=options)
        target.write(0x77, offset=4 * MiB, length=64 * KiB)
        pairs.append((t.drive(f"disk{number}", image=t.image(f"disk{number}.img", backing=base)), target))

    for (disk, target), (clusters, _, copied) in zip(pairs, SHAPES, strict=True):
        t.step(f"clusters of {clusters}")
        job = t.drive_backup(disk, target, sync="none", mode="existing", format="qcow2")
        disk.write(0x22, offset=2 * MiB - 512, length=512)
        t.expect("offset", job.offset(), copied)
        disk.write(0x22, offset=4 * MiB, length=64 * KiB)
        disk.write(0x22, offset=6 * MiB, length=512)
        size = -(-target.size // copied) * copied
        job.cancel().wait().expect_cancelled().expect(len=size, offset=3 * copied)
        target.expect_clean()

    t.step("laid over the disks, they are the disks as they were")
    t.shutdown()
    for disk, target in pairs:
        t.img("rebase", "-q", "-u", "-f", "qcow2", "-b", disk.image.name, "-F", "qcow2", target.name)
        target.expect_identical(base.content)
