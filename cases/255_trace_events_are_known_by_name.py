"""The trace events of a backup are found by name and pattern, off until they are turned on, and told as that."""

from backcheck import Case, MiB, case

PATTERNS = ("job_*", "backup_*", "block_copy_*write*", "*_copy_skip_r?nge", "*_copy_skip", "job_[acs]*", "nope*")


@case(rules=["TRC-01", "TRC-02"], groups=["trace", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    found = {pattern: t.ask_list("trace-event-get-state", name=pattern) for pattern in PATTERNS}
    for pattern, events in found.items():
        t.record(pattern, {"names": sorted(str(event["name"]) for event in events)})
    for nothing in ("nope*", "job_[acs]*", "*_copy_skip"):
        t.expect(nothing, found[nothing], [])

    def states(pattern: str) -> dict[str, object]:
        return {str(event["name"]): event["state"] for event in t.ask_list("trace-event-get-state", name=pattern)}

    t.step("one is turned on, a pattern off, a pattern of nothing changes nothing")
    t.qmp("trace-event-set-state", name="job_*", enable=False)
    t.qmp("trace-event-set-state", name="job_state_transition", enable=True)
    t.qmp("trace-event-set-state", name="nope*", enable=True)
    t.qmp("trace-event-get-state", name="job_state_transition")
    t.expect("on", [name for name, state in states("job_*").items() if state == "enabled"], ["job_state_transition"])
    t.drive_backup(disk, "target.img").wait().expect_completed()
    t.qmp("trace-event-set-state", name="job_s*_transition", enable=False)
    t.expect("off", set(states("job_*").values()) == {"disabled"}, True)

    t.step("what is refused")
    for name in ("nope", "", "job_", "job_complet?d"):
        t.expect_error("trace-event-get-state", name=name, error=f'unknown event "{name}"')
        t.expect_error("trace-event-set-state", name=name, enable=True, error=f'unknown event "{name}"')
    t.expect_error("trace-event-get-state", error="Parameter 'name' is missing")
    t.expect_error("trace-event-set-state", name="job_*", error="Parameter 'enable' is missing")
    t.expect_error("trace-event-set-state", name="job_*", enable=1)
    t.expect_error("trace-event-get-state", name="job_completed", vcpu=0)
    t.qmp("trace-event-set-state", name="job_*", enable=False, ignore_unavailable=True)
