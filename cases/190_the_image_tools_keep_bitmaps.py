"""The image tools resize bitmaps with their image, copy them if told to, and merge one from another file."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-24", "BMP-26", "BMP-27"], groups=["bitmap", "quick"])
def run(t: Case) -> None:
    source = t.image("source.img", size=4 * MiB)
    source.add_bitmap("b0", granularity=64 * KiB)
    source.add_bitmap("off", granularity=4 * KiB, enabled=False)
    source.write(0x11, offset=1 * MiB, length=64 * KiB)
    source.write(0x11, offset=4 * MiB - 512, length=512)
    other = t.image("other.img", size=4 * MiB)
    other.add_bitmap("sum", granularity=4 * KiB)

    def refused(*arguments: str) -> str:
        done = t.img(*arguments)
        t.expect(f"status of img {arguments[0]}", done.status, 1)
        return done.stderr.partition(": ")[2].strip()

    t.step("copied with --bitmaps, left out without, and refused by a format that has none")
    for name, flags in (("with.img", ("--bitmaps",)), ("without.img", ())):
        t.expect("img convert", t.img("convert", *flags, "-O", "qcow2", "source.img", name).status, 0)
    lost = refused("convert", "--bitmaps", "-O", "raw", "source.img", "raw.img")
    t.expect("error", lost, "Format driver 'raw' does not support bitmaps")
    copied = t.existing_image("with.img", content=source.content)
    t.expect("bitmaps of the copy", [item["name"] for item in copied.bitmaps()], ["b0", "off"])
    t.expect("bitmaps of the other copy", list(t.existing_image("without.img").bitmaps()), [])

    t.step("what img bitmap refuses")
    for arguments, error in (
        (("--add", "source.img", "b0"), "Operation add on bitmap b0 failed: Bitmap already exists: b0"),
        (("--clear", "source.img", "no"), "Operation clear on bitmap no failed: Dirty bitmap 'no' not found"),
        (("--remove", "source.img", "no"), "Operation remove on bitmap no failed: Dirty bitmap 'no' not found"),
    ):
        t.expect("error", refused("bitmap", "-f", "qcow2", *arguments), error)

    t.step("merged from another file; shortened with its image")
    other.img_bitmap("--merge", "b0", "-b", "source.img", "-F", "qcow2", "sum")
    t.expect("img resize", t.img("resize", "-f", "qcow2", "--shrink", "source.img", str(2 * MiB)).status, 0)
    for image in (source, other, copied):
        image.expect_clean()
        t.node(image.name.removesuffix(".img"), image=image)
    t.bitmap("other", "sum").expect(count=128 * KiB, granularity=4 * KiB)
    t.bitmap("source", "b0").expect(count=64 * KiB, granularity=64 * KiB, recording=True)
    t.bitmap("with", "b0").expect(count=128 * KiB, granularity=64 * KiB, recording=True, persistent=True)
    t.bitmap("with", "off").expect(count=0, granularity=4 * KiB, recording=False)
