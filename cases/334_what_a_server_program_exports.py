"""The server program shows an image's marks and layers to clients, and lets them write or read, as it was told."""

from backcheck import Case, KiB, MiB, case


@case(rules=["EXP-12"], groups=["nbd", "export", "bitmap"], requires=["nbd-server"])
def run(t: Case) -> None:
    base = t.image("base.img", size=2 * MiB)
    base.write(0x11, offset=0, length=MiB)
    image = t.image("disk.img", size=2 * MiB, backing=base)
    image.add_bitmap("b0", granularity=64 * KiB)
    image.write(0x22, offset=64 * KiB, length=64 * KiB)
    image.add_bitmap("still", enabled=False)
    before = image.content

    t.step("for readers, with its marks and layers")
    server = t.nbd_server("-r", "-e", "2", "-f", "qcow2", "-x", "e0", "-B", "b0", "-A", image.name)

    def dirty(context: str) -> list[list[int]]:
        """Runs of what the map of that context calls no data."""
        address = f"driver=nbd,server.type=unix,server.path={server.socket},export=e0"
        extents = t.img_map(context, "--image-opts", f"{address},x-dirty-bitmap={context}")
        return [[extent.start, extent.length] for extent in extents if not extent.data]

    t.expect("marked", dirty("qemu:dirty-bitmap:b0"), [[64 * KiB, 64 * KiB]])
    t.expect("of the top layer", dirty("qemu:allocation-depth"), [[64 * KiB, 64 * KiB]])
    url = server.export_url("e0")
    compared = t.img("compare", "-f", "raw", "-F", "raw", url, url)
    t.expect("two clients at once", compared.stdout, "Images are identical.\n")
    t.expect("status of a writer", t.io("-f", "raw", "-c", "write -P 0x33 0 64k", url).status, 1)
    t.expect("status of who asks for another", t.io("-f", "raw", "-r", "-c", "read 0 512", server.url).status, 1)
    server.stop()
    image.expect_identical(before)

    t.step("for writers, and the image records what they do")
    server = t.nbd_server("-f", "qcow2", "-x", "e0", "-B", "b0", image.name, name="other")
    t.expect("status of a writer", t.io("-f", "raw", "-c", "write -P 0x33 1M 64k", server.export_url("e0")).status, 0)
    t.expect("marked", dirty("qemu:dirty-bitmap:b0"), [[64 * KiB, 64 * KiB], [MiB, 64 * KiB]])
