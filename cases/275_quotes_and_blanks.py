"""Words in double quotes keep their blanks and escapes; a line's own blanks count for nothing."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-03", "HMP-04", "TGT-01"], groups=["hmp", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    t.drive("disk1", size=MiB)
    disk.write(0x11, offset=0, length=MiB)

    def back_up(line: str, name: str, format: str) -> None:
        t.hmp_job(line, "disk0").wait().expect_completed()
        t.existing_image(name, format=format).expect_identical(disk.content)

    t.step("blanks around, between and in words")
    back_up("   drive_backup    -f   disk0     plain.img   raw   ", "plain.img", "raw")
    back_up('drive_backup -f "disk0" "two words.img" "raw"', "two words.img", "raw")
    back_up('drive_backup -f"disk0" glued.img raw', "glued.img", "raw")

    t.step("escapes in quotes; without quotes they are none, and a quote within a word is a quote")
    back_up(r'drive_backup -f disk0 "a\\b\"c\'d.img" raw', "a\\b\"c'd.img", "raw")
    back_up(r"drive_backup -f disk0 a\nb.img raw", r"a\nb.img", "raw")
    back_up('drive_backup -f disk0 a"b".img raw', 'a"b".img', "raw")

    t.step("an escape that is none, a quote that does not end, one that ends too soon")
    t.hmp(r'drive_backup -f disk1 "a\tb.img" raw')
    t.hmp('drive_backup -f disk1 "open.img raw')
    t.hmp('drive_backup -f disk1 "ab"cd.img raw more')
    t.hmp('drive_backup -f "" empty.img raw')
    t.expect("ab is there", t.existing_image("ab").exists(), False)
    disk.write(0x22, offset=0, length=64 * KiB)
