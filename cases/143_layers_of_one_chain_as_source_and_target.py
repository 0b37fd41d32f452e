"""A backing file is backed up to its overlay, but not an overlay to its backing file."""

from backcheck import Case, KiB, MiB, case


@case(rules=["GRAPH-12", "PERM-02"], groups=["graph", "permission", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB)
    base.write(0x11, offset=0, length=2 * MiB)
    below = base.content
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x22, offset=MiB, length=64 * KiB)
    t.node("base0", image=base)
    file = {"driver": "file", "filename": "overlay.img"}
    t.node("overlay0", tree={"driver": t.format, "backing": "base0", "file": file})

    t.step("the overlay to its backing file: the overlay needs that not to change")
    t.expect_error("blockdev-backup", device="overlay0", target="base0", sync="full", job_id="job0")
    t.expect("jobs", t.ask_list("query-jobs"), [])

    t.step("the backing file to the overlay, which is then equal to it")
    job = t.blockdev_backup("base0", "overlay0", job_id="job0")
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.shutdown()
    base.expect_identical(below)
    t.existing_image("overlay.img", content=below).expect_identical(below)
    t.existing_image("overlay.img").expect_clean()
