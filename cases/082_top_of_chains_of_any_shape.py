"""sync=top takes the overlay off a chain of any sizes and clusters: laid on the same backing file it is the disk."""

from backcheck import Case, KiB, MiB, case

SHAPES = {
    "of clusters of 512 bytes": ({"cluster_size": "512"}, 2 * MiB, 192 * KiB),
    "of clusters of 2 MiB": ({"cluster_size": "2M"}, 2 * MiB, 2 * MiB),
    "of subclusters of 4 KiB": ({"cluster_size": "128k", "extended_l2": "on"}, 2 * MiB, 192 * KiB),
    "shorter than what is below": ({"cluster_size": "4k"}, MiB + 512, 192 * KiB),
    "longer than what is below": ({"cluster_size": "64k"}, 4 * MiB + 512, 192 * KiB),
}
"""What the overlay is like: its options, its size, how much of it is copied."""


@case(rules=["SYNC-06", "SYNC-08", "TGT-08"], groups=["sync", "top", "size"])
def run(t: Case) -> None:
    base = t.image("base.img", size=3 * MiB // 2)
    base.write(0x11)
    middle = t.image("middle.img", size=5 * MiB // 2, backing=base, options={"cluster_size": "4k"})
    middle.write(0x22, offset=MiB + 4 * KiB, length=4 * KiB)
    overlays = []
    for number, (options, size, _) in enumerate(SHAPES.values()):
        overlay = t.image(f"overlay{number}.img", size=size, backing=middle, options=options)
        overlay.write(0x33, offset=0, length=512)
        overlay.write(0x44, offset=MiB - 512, length=KiB)
        overlays.append(overlay)

    for overlay, (shape, (_, _, copied)) in zip(overlays, SHAPES.items(), strict=True):
        t.step(f"an overlay {shape}")
        node = t.node(overlay.name.removesuffix(".img"), image=overlay)
        job = t.drive_backup(node, f"target-{overlay.name}", sync="top")
        job.wait().expect_completed().expect(len=copied, offset=copied)
        job.target.expect_identical(overlay.content)
        job.target.expect_clean()
