"""drive_add brings a drive while the machine runs: it can be written and backed up as any other, and deleted."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-02", "HMP-03", "HMP-09"], groups=["hmp", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    image = t.image("added.img", size=2 * MiB)
    image.write(0x11)
    t.start()

    t.step("it is there, with its node")
    added = f"if=none,id=added,node-name=added-node,file=added.img,format={t.format}"
    t.expect("answer", t.hmp(f"drive_add 0 {added}"), "OK\r\n")
    t.expect("file", t.inserted("added")["file"], "added.img")
    t.hmp('qemu-io added "write -P 0x22 1M 64k"')
    image.note_write(0x22, MiB, 64 * KiB)

    t.step("the same name again, a file that is not there, a name that is none: refused; without a file it is empty")
    for options in (added, "if=none,id=other,file=none.img", "if=none,id=1x,file=added.img", "if=none,id=other"):
        t.hmp(f"drive_add 0 {options}")
    t.expect("drives", [drive["device"] for drive in t.ask_list("query-block")], ["added", "other"])
    t.hmp("drive_backup -f other target.img")

    t.step("its backup")
    t.hmp_job("drive_backup -f added target.img", "added").wait().expect_completed().expect(len=2 * MiB)
    t.existing_image("target.img").expect_identical(image.content)

    t.step("a node, and a backup to it")
    made = t.image("made.img", size=2 * MiB)
    options = f"driver={t.format},node-name=made,file.driver=file,file.filename=made.img"
    t.expect("answer", t.hmp(f"drive_add -n 0 {options}"), "")
    t.blockdev_backup("added", "made").wait().expect_completed()
    t.expect("answer", t.hmp("drive_del made"), "")
    t.expect("node made", [node for node in t.nodes() if node["node-name"] == "made"], [])
    made.expect_identical(image.content)

    t.step("the drive goes")
    t.expect("answer", t.hmp("drive_del added"), "")
    t.hmp("info block")
