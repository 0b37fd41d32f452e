"""A running blockdev-create takes pause, resume and cancel, and goes on to its end all the same."""

from backcheck import Case, MiB, case


@case(rules=["JOB-01", "JOB-04", "JOB-05", "JOB-14"], groups=["job", "race"])
def run(t: Case) -> None:
    image = t.image("created.img", size=4 * MiB, format="raw")
    drive = t.drive("disk0", image=image, breakpoints=True)
    create = {"options": {"driver": "qcow2", "file": drive.node_name, "size": MiB}}

    t.step("held in the middle of its work")
    held = drive.hold("write_aio")
    job = t.job("job0", t.exchange("blockdev-create", {"job-id": "job0", **create}))
    held.wait()
    t.expect_state("job", job.query_job(), status="running", type="create")
    job.expect_refused("resume")
    job.pause()
    job.expect_refused("pause")
    job.resume()

    t.step("it ends, successful")
    held.release()
    job.reach("concluded")
    t.expect("error", job.query_job().get("error"), None)
    job.dismiss().reach("null")

    t.step("cancelled while it is held")
    held = drive.hold("write_aio")
    job = t.job("job1", t.exchange("blockdev-create", {"job-id": "job1", **create}))
    held.wait()
    job.cancel()
    held.release()
    job.reach("concluded")
    t.record("job", job.query_job())
    job.dismiss().reach("null")
