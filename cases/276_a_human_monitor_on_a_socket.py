"""A human monitor greets, prompts and shows what is typed; it is told no event of the job that it starts."""

import re

from backcheck import Case, MiB, case


@case(rules=["HMP-02", "HMP-03", "HMP-06", "HMP-10"], groups=["hmp", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    human = t.human_monitor("operator")
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("the greeting")
    banner = re.fullmatch(r"QEMU (\d+\.\d+)\.\d+ monitor - type 'help' for more information", human.banner())
    t.expect("release in the banner", banner and banner[1], ".".join(str(part) for part in t.release))

    t.step("a whole backup, typed by hand")
    t.expect("jobs", human.run("info block-jobs"), "No active jobs\r\n")
    t.expect("answer", human.run("drive_backup -f disk0 target.img"), "")
    t.job("disk0", human.last).wait().expect_completed().expect(len=4 * MiB, speed=0)
    t.existing_image("target.img").expect_identical(before)

    t.step("the same again: an answer and nothing besides it")
    human.run("drive_backup -n -f disk0 target.img qcow2")
    t.job("disk0", human.last).wait().expect_completed()
    human.run("")
    human.run("   ")
    t.expect("answer", human.run("nosuch command"), "unknown command: 'nosuch'\r\n")
    t.expect("jobs", human.run("info block-jobs"), "No active jobs\r\n")
