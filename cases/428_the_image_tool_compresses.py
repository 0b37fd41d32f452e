"""`img convert -c` compresses as a job does: zeroes are not stored, a used target is refused, raw cannot."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-03", "CMP-05", "CMP-06", "CMP-07", "CMP-01"], groups=["compress", "tool", "quick"])
def run(t: Case) -> None:
    source = t.image("source.img", size=2 * MiB + 512)
    source.write(0x11, length=MiB)
    source.write_noise(offset=MiB, length=128 * KiB)
    source.write(0x22, offset=2 * MiB, length=512)
    flat = t.image("flat.img", size=2 * MiB + 512, format="raw")

    t.step("from qcow2 and from raw, in order and not")
    t.expect("uncompressed", t.img("convert", "-f", "qcow2", "-O", "raw", "source.img", "flat.img").status, 0)
    flat = t.existing_image("flat.img", format="raw", content=source.content)
    flat.expect_identical(source)
    for name, form, more in (("a", "qcow2", []), ("b", "raw", ["-W", "-m", "4"]), ("c", "raw", ["-S", "0"])):
        file = "source.img" if form == "qcow2" else "flat.img"
        done = t.img("convert", "-c", *more, "-f", form, "-O", "qcow2", file, f"{name}.img")
        t.expect(name, done.status, 0)
        target = t.existing_image(f"{name}.img", content=source.content)
        target.expect_identical(source)
        target.expect_clean()
        t.record(target.name, target.check(), keys=["allocated-clusters", "compressed-clusters"])

    t.step("onto an image that has something: the error says where")
    done = t.img("convert", "-c", "-n", "-f", "qcow2", "-O", "qcow2", "source.img", "a.img")
    t.record("again", {"status": done.status, "stderr": done.stderr.split(": ", 1)[1].strip()})
    t.existing_image("a.img").expect_clean()
    a = t.existing_image("a.img", content=source.content)
    a.expect_identical(source)

    t.step("onto one that is empty; and to raw")
    t.image("empty.img", size=2 * MiB + 512)
    done = t.img("convert", "-c", "-n", "-f", "qcow2", "-O", "qcow2", "source.img", "empty.img")
    t.expect("empty", done.status, 0)
    t.existing_image("empty.img", content=source.content).expect_identical(source)
    done = t.img("convert", "-c", "-f", "qcow2", "-O", "raw", "source.img", "raw.img")
    t.record("raw", {"status": done.status, "stderr": done.stderr.split(": ", 1)[1].strip()})
