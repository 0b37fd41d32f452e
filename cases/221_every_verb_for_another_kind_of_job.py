"""A job that creates an image takes the verbs of jobs, each in its state, and none of those of block jobs."""

from backcheck import Case, MiB, case

VERBS = ("pause", "resume", "complete", "finalize", "dismiss", "cancel")


@case(rules=["JOB-01", "JOB-02", "JOB-03", "JOB-04", "JOB-14"], groups=["job"])
def run(t: Case) -> None:
    t.node("file0", tree={"driver": "file", "filename": t.image("created.img", size=MiB, format="raw").name})
    options = {"driver": "qcow2", "file": "file0", "size": MiB}
    for number, wrong in enumerate((False, True)):
        t.step("an image that cannot be" if wrong else "an image")
        if wrong:
            options["cluster-size"] = 513
        job_id = f"create{number}"
        job = t.job(job_id, t.exchange("blockdev-create", {"job-id": job_id, "options": options}))
        job.reach("concluded")
        t.record("job", job.query_job())

        t.step(f"create{number}: verbs of block jobs do not know it")
        for verb in VERBS:
            refused = job.expect_refused(verb, "block-job")
            t.expect("class", refused.error_class, "DeviceNotActive")
        job.expect_refused("set-speed", "block-job", {"speed": 0})

        t.step(f"create{number}: it is concluded, and can only be dismissed")
        for verb in VERBS:
            if verb == "resume":
                t.expect(verb, job.expect_refused(verb).description, "Can't resume a job that was not paused")
            elif verb != "dismiss":
                words = f"Job '{job.id}' in state 'concluded' cannot accept command verb '{verb}'"
                t.expect(verb, job.expect_refused(verb).description, words)
        job.dismiss().reach("null")
        t.expect("jobs", t.ask_list("query-jobs"), [])
