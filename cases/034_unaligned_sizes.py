"""A disk of any size is copied to its last byte; len and offset count whole clusters, and go beyond its end."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SIZE-03", "SIZE-04", "SIZE-10", "TGT-05"], groups=["size", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    nodes = []
    for number, size in enumerate((1, 512, 64 * KiB + 512, 1_000_000, MiB + 512)):
        image = t.image(f"source{number}.img", size=size)
        image.write(0x11 + number, offset=0, length=size)
        nodes.append((size, image, t.node(f"source{number}", image=image)))

    for size, image, node in nodes:
        t.step(f"{size} bytes")
        clusters = -(-size // (64 * KiB)) * 64 * KiB
        job = t.drive_backup(node, f"target-{size}.img", format=t.format)
        job.wait().expect_completed().expect(len=clusters, offset=clusters)
        t.expect("size of the target", job.target.info()["virtual-size"], -(-size // 512) * 512)
        job.target.expect_identical(image.content)
        job.target.expect_clean()
