"""A job that is not there is of class DeviceNotActive for block-job-*, and of GenericError for job-*."""

from backcheck import Case, MiB, case


@case(rules=["JOB-03"], groups=["job", "error", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    not_active = {"error": "Block job 'nope' not found", "error_class": "DeviceNotActive"}
    for verb in ("cancel", "pause", "resume", "complete"):
        t.expect_error(f"block-job-{verb}", {"device": "nope"}, **not_active)
    t.expect_error("block-job-set-speed", {"device": "nope", "speed": 1}, **not_active)
    for verb in ("finalize", "dismiss"):
        t.expect_error(f"block-job-{verb}", {"id": "nope"}, **not_active)

    t.step("the other family")
    for verb in ("cancel", "pause", "resume", "complete", "finalize", "dismiss"):
        t.expect_error(f"job-{verb}", {"id": "nope"}, error="Job not found", error_class="GenericError")

    t.step("what one family calls device the other calls id")
    t.expect_error("job-cancel", {"device": "disk0"}, error="Parameter 'id' is missing")
    t.expect_error("block-job-cancel", {"id": "disk0"}, error="Parameter 'device' is missing")
