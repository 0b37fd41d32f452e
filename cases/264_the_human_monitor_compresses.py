"""drive_backup -c writes compressed clusters into a format that has them, and is refused for another."""

from backcheck import Case, MiB, case


@case(rules=["HMP-02", "HMP-03", "CMP-01", "ERR-27", "ERR-34"], groups=["hmp", "compress", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=2 * MiB)
    before = disk.content

    t.step("-f -c, and -c alone")
    for flags, name in (("-f -c", "both.img"), ("-c", "alone.img")):
        t.hmp_job(f"drive_backup {flags} disk0 {name}", "disk0").wait().expect_completed().expect(len=4 * MiB)
        target = t.existing_image(name)
        target.expect_identical(before)
        target.expect_clean()
        checked = t.img("check", "--output=json", name).stdout
        t.expect(f"32 compressed clusters in {name}", '"compressed-clusters": 32' in checked, True)

    t.step("-n -c: into an image that is there and empty")
    empty = t.image("empty.img", size=4 * MiB)
    t.hmp_job("drive_backup -n -c disk0 empty.img", "disk0").wait().expect_completed()
    empty.expect_identical(before)
    t.expect("compressed", '"compressed-clusters": 32' in t.img("check", "--output=json", "empty.img").stdout, True)

    t.step("raw has no compression: refused, but the file has been made")
    said = t.hmp("drive_backup -f -c disk0 flat.img raw")
    t.expect("answer", said, "Error: Compression is not supported for this drive \r\n")
    flat = t.existing_image("flat.img", format="raw")
    t.expect("size of flat.img", flat.info()["virtual-size"], 4 * MiB)

    t.step("the same again, right this time")
    t.hmp_job("drive_backup -n -f disk0 flat.img raw", "disk0").wait().expect_completed()
    flat.expect_identical(before)
