"""Of two things wrong with a backup the earlier check speaks; the last ones come when the job is already there."""

from backcheck import Case, MiB, case


@case(rules=["ERR-27", "ERR-28", "ERR-30", "ERR-32", "ERR-33"], groups=["error", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    t.node("plain", size=MiB, format="raw")
    t.node("small", size=MiB // 2, format="raw")
    wrong = {
        "device": "disk0",
        "target": "disk0",
        "sync": "full",
        "compress": True,
        "filter-node-name": "1x",
        "job-id": "1a",
        "speed": -1,
    }

    t.step("one after the other is put right")
    t.expect_error("blockdev-backup", wrong, error="Source and target cannot be the same")
    wrong["target"] = "small"
    t.expect_error("blockdev-backup", wrong, error="Compression is not supported for this drive ")
    wrong["compress"] = False
    t.expect_error("blockdev-backup", wrong, error="Source and target image have different sizes")
    wrong["target"] = "plain"
    t.expect_error("blockdev-backup", wrong)
    del wrong["filter-node-name"]
    t.expect_error("blockdev-backup", wrong, error="Invalid job ID '1a'")
    wrong["job-id"] = "job0"
    refused = t.expect_error("blockdev-backup", wrong, error="Parameter 'speed' expects a non-negative value")
    job = t.job("job0", refused)
    t.expect_before(job.state("null"), job.reply)

    t.step("until nothing is")
    wrong["speed"] = 0
    t.job("job0", t.exchange("blockdev-backup", wrong)).wait().expect_completed()
