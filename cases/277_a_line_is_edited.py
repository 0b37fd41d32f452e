"""On a human monitor lines are edited with arrows and control keys, and earlier ones come back; each key is shown."""

from backcheck import Case, Key, MiB, case


@case(rules=["HMP-10"], groups=["hmp", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    human = t.human_monitor("operator")
    t.start()
    jobs = "info block-jobs"
    answer = "No active jobs"

    def expect_line(line: str, *keys: str) -> None:
        t.expect("lines", human.edit(*keys), [f"(qemu) {line}", answer])

    t.step("letters come in at the cursor, and go")
    expect_line(jobs, "info bjobs", *[Key.LEFT] * 4, "lock-")
    expect_line(jobs, "xinfo blok", Key.LEFT, "c", Key.END, "-jobz", Key.BACKSPACE, "s", Key.HOME, Key.DELETE)
    expect_line(jobs, "nfo block-jobs", Key.control("A"), Key.RIGHT, Key.LEFT, "i", Key.control("E"))

    t.step("words go, and keys that can do nothing do nothing")
    expect_line(jobs, "info block nonsense", Key.control("W"), Key.control("W"), "block-jobs")
    expect_line(jobs, Key.LEFT, Key.BACKSPACE, Key.DELETE, "xi", Key.HOME, Key.control("D"), Key.END, "nfo block-jobs")

    t.step("earlier lines come back, the newest first, and can be changed")
    human.run("nosuch")
    expect_line(jobs, Key.UP, Key.UP)
    t.expect("lines", human.edit(Key.UP, Key.UP), ["(qemu) nosuch", "unknown command: 'nosuch'"])
    expect_line(jobs, Key.UP, Key.UP, Key.DOWN, Key.DOWN, jobs)
    expect_line(jobs, Key.UP, Key.UP, Key.UP, Key.UP, Key.UP, Key.UP, Key.UP, Key.DOWN, Key.HOME, Key.END)

    t.step("two lines at once are two commands")
    lines = human.edit("info block-jobs", Key.ENTER, "nosuch", prompts=2)
    t.expect("lines", lines, ["(qemu) " + jobs, answer, "(qemu) nosuch", "unknown command: 'nosuch'"])
