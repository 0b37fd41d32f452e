"""The flags of drive_backup come in one order, each by itself; what comes later is taken for the drive's name."""

from backcheck import Case, MiB, case


@case(rules=["HMP-01", "HMP-04", "ERR-36"], groups=["hmp", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    t.drive("disk1", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    target = t.image("target.img", size=MiB)
    target.write(0x77)

    def expect_no_device(line: str, taken: str) -> None:
        said = t.hmp(line)
        t.expect(f"'{taken}' is taken for a device", f"'{taken}'" in said or f"={taken} " in said, True)

    def expect_unsupported(line: str, letter: str) -> None:
        hint = 'Try "help drive_backup" for more information'
        t.expect("answer", t.hmp(line), f"drive_backup: unsupported option -{letter}\r\n{hint}\r\n")

    t.step("a flag after one that comes later")
    expect_no_device("drive_backup -c -f disk0 target.img", "-f")
    expect_no_device("drive_backup -n -c -f disk0 target.img", "-f")
    expect_unsupported("drive_backup -f -n disk0 target.img", "n")

    t.step("two in one word, one twice, one after the names")
    expect_no_device("drive_backup -cf disk0 target.img", "f")
    expect_no_device("drive_backup -nf disk0 target.img", "f")
    t.hmp("drive_backup -n -n disk0 target.img")
    t.hmp("drive_backup disk1 -f target.img")

    t.step("letters that it does not know, and a lone dash")
    expect_unsupported("drive_backup -x disk0 target.img", "x")
    expect_unsupported("drive_backup -F disk0 target.img", "F")
    t.hmp("drive_backup - disk0 target.img")

    t.step("nothing has been touched, and in the right order all three are taken")
    target.expect_identical(target.content)
    empty = t.image("empty.img", size=MiB)
    t.hmp_job("drive_backup -n -f -c disk0 empty.img qcow2", "disk0").wait().expect_completed()
    empty.expect_identical(disk.content)
