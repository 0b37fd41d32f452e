"""Tab completes a command as far as it is certain, also after info and help, and lists what it may be."""

from backcheck import Case, Key, MiB, case


@case(rules=["HMP-10"], groups=["hmp", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    human = t.human_monitor("operator")
    disk.write(0x11, offset=0, length=MiB)

    t.step("one that it can be comes with a blank")
    t.expect("lines", human.edit("info block-j", Key.TAB), ["(qemu) info block-jobs ", "No active jobs"])
    t.expect("line", human.edit("drive_b", Key.TAB, "-f disk0 t.img raw"), ["(qemu) drive_backup -f disk0 t.img raw"])
    t.job("disk0", human.last).wait().expect_completed()
    t.existing_image("t.img", format="raw").expect_identical(disk.content)
    t.expect("first line", human.edit("help block_job_pa", Key.TAB)[0], "(qemu) help block_job_pause ")

    t.step("several: what they have in common, and all of them in order")
    lines = human.edit("block_j", Key.TAB, "pause nope", Key.HOME, prompts=2)
    names = [f"block_job_{verb}" for verb in ("cancel", "complete", "pause", "resume", "set_speed")]
    t.expect("list", "".join(lines[1:-2]).split(), names)
    t.expect("lines", lines[-2:], ["(qemu) block_job_pause nope", "Error: Block job 'nope' not found"])

    t.step("none: nothing")
    t.expect("lines", human.edit("nosu", Key.TAB, Key.TAB, "ch"), ["(qemu) nosuch", "unknown command: 'nosuch'"])
