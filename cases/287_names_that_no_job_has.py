"""No verb finds a job by a name that no job has: none yet, that of its drive or its nodes, or no longer."""

from backcheck import Case, JsonObject, MiB, case

VERBS: tuple[tuple[str, JsonObject], ...] = (
    ("job-pause", {}),
    ("job-resume", {}),
    ("job-cancel", {}),
    ("job-complete", {}),
    ("job-finalize", {}),
    ("job-dismiss", {}),
    ("block-job-pause", {}),
    ("block-job-resume", {}),
    ("block-job-cancel", {}),
    ("block-job-cancel", {"force": True}),
    ("block-job-complete", {}),
    ("block-job-set-speed", {"speed": -1}),
    ("block-job-finalize", {}),
    ("block-job-dismiss", {}),
)
BY_DEVICE = ("block-job-pause", "block-job-resume", "block-job-cancel", "block-job-complete", "block-job-set-speed")


def refuse(t: Case, name: str) -> None:
    """Every verb, for a name that is no job's."""
    for verb, more in VERBS:
        refused = t.exchange(verb, {"device" if verb in BY_DEVICE else "id": name, **more})
        words = f"Block job '{name}' not found" if verb.startswith("block-") else "Job not found"
        t.expect(f"{verb} {name}", refused.description, words)
        t.expect(f"{verb} {name}", refused.error_class, "GenericError" if words[0] == "J" else "DeviceNotActive")


@case(rules=["JOB-03"], groups=["job", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    t.node("target0", size=4 * MiB)

    t.step("no job yet")
    refuse(t, "job0")

    t.step("what the job is about has other names")
    job = t.blockdev_backup(disk, "target0", sync="none", filter_node_name="filter0")
    for name in ("disk0", "disk0-node", "target0", "filter0", "Job0", "job", "job00", ""):
        refuse(t, name)
    job.expect_query(status="running", paused=False, speed=0)

    t.step("no job any longer")
    job.cancel().wait().expect_cancelled().expect(offset=0)
    refuse(t, "job0")
    t.expect("jobs", t.ask_list("query-jobs"), [])
