"""drive_backup -n writes into the image that is there, whose format is looked up unless it is named."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["HMP-02", "HMP-03", "ERR-16", "ERR-30"],
    groups=["hmp", "target", "quick"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.drive("disk1", size=4 * MiB)
    disk.write(0x11, offset=MiB, length=MiB)
    other = t.image("other.img", size=4 * MiB, format="raw")
    other.write(0x77)
    small = t.image("small.img", size=2 * MiB)
    small.write(0x77, offset=0, length=64 * KiB)
    full = t.image("full.img", size=4 * MiB, options={"cluster_size": "4k"})
    full.write(0x77)

    t.step("what is not there is not made")
    said = t.hmp("drive_backup -n disk1 none.img")
    t.expect("answer", said, "Error: Could not open 'none.img': No such file or directory\r\n")
    t.expect("none.img is there", t.existing_image("none.img").exists(), False)

    t.step("another format, another size: refused, and nothing is written")
    t.hmp("drive_backup -n disk1 other.img qcow2")
    t.hmp("drive_backup -n -f disk0 small.img")
    other.expect_identical(other.content)
    small.expect_identical(small.content)

    t.step("it keeps its cluster size, and every old byte is replaced")
    t.hmp_job("drive_backup -n disk0 full.img", "disk0").wait().expect_completed().expect(len=4 * MiB)
    full.expect_identical(disk.content)
    t.expect("cluster size", full.info()["cluster-size"], 4 * KiB)

    t.step("the format is named")
    t.hmp_job("drive_backup -n -f disk0 other.img raw", "disk0").wait().expect_completed()
    other.expect_identical(disk.content)
