"""Without job-id a job is called after its source's backend; where there is none, the id '' is invalid."""

from backcheck import Case, MiB, case


@case(rules=["ARG-08", "ARG-09", "ERR-34"], groups=["arg", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    before = disk.content
    t.node("plain", size=MiB)

    t.step("also where the source was given by its node-name")
    start = t.exchange("drive-backup", device="disk0-node", target="target.img", sync="full")
    t.job("disk0", start).wait().expect_completed()
    t.existing_image("target.img").expect_identical(before)

    t.step("a node without a backend has no default, and the target is already there")
    t.expect_error("drive-backup", device="plain", target="left.img", sync="full", error="Invalid job ID ''")
    left = t.existing_image("left.img")
    t.expect("left.img exists", left.exists(), True)
    t.expect("size of left.img", left.info()["virtual-size"], MiB)
    t.expect("jobs", t.ask_list("query-jobs"), [])
