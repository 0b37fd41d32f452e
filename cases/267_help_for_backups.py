"""help tells the same of the backup commands in all releases, and finds a command by each of its names."""

from backcheck import Case, MiB, case

COMMANDS = ("drive_backup", "drive_del", "block_job_pause", "block_job_resume", "block_job_complete")


@case(rules=["HMP-05", "HMP-07"], groups=["hmp", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)

    t.step("of each")
    for name in (*COMMANDS, "block_job_cancel", "block_job_set_speed", "info block-jobs", "info block"):
        said = t.hmp(f"help {name}")
        t.expect(f"help {name} begins with its name", said.startswith(f"{name} "), True)

    t.step("by any name, with any blanks")
    quitting = t.hmp("help quit")
    for line in ("help q", "? quit", "  ?   q  "):
        t.expect(line, t.hmp(line), quitting)

    t.step("among all of them")
    listed = str(t.ask("human-monitor-command", {"command-line": "help"}))
    for name in COMMANDS:
        t.expect(f"{name} is listed", f"\n{name} " in f"\n{listed}", True)
    infos = str(t.ask("human-monitor-command", {"command-line": "help info"}))
    t.expect("info block-jobs is listed", "\ninfo block-jobs " in infos, True)
    t.expect("info jobs is listed", "info jobs" in infos, False)
    t.expect("info alone", str(t.ask("human-monitor-command", {"command-line": "info"})), infos)

    t.step("of what there is not")
    for name in ("nosuch", "info jobs", "drive-backup", "drive_backup_"):
        t.expect(name, t.hmp(f"help {name}").startswith("unknown command: "), True)
    t.expect("info jobs", t.hmp("info jobs"), "unknown command: 'info jobs'\r\n")
