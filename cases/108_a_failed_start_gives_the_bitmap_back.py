"""A backup that cannot start leaves its bitmap as it was: not in use, owing the same, and recording."""

from backcheck import Case, JsonObject, KiB, MiB, case

REFUSED: tuple[tuple[JsonObject, str | None], ...] = (
    ({"target": "small0"}, "Source and target image have different sizes"),
    ({"target": "target0", "filter-node-name": "disk0-node"}, None),
    ({"target": "target0", "filter-node-name": "disk0"}, None),
    ({"target": "target0", "filter-node-name": "1x"}, None),
    ({"target": "target0", "x-perf": {"max-chunk": 64 * KiB}}, None),
    ({"target": "target0", "x-perf": {"max-workers": 0}}, None),
    ({"target": "target0", "x-perf": {"max-chunk": -1}}, None),
    ({"target": "target0", "job-id": "1x"}, "Invalid job ID '1x'"),
    ({"target": "target0", "speed": -1}, "Parameter 'speed' expects a non-negative value"),
)
"""What is wrong with the arguments; the text where all releases agree."""


@case(rules=["BMP-18", "ERR-29", "ERR-36"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.node("small0", size=3 * MiB)
    target = t.node("target0", size=4 * MiB, options={"cluster_size": "2M"})
    owed = disk.add_bitmap("b0", granularity=4 * KiB)
    arguments: JsonObject = {"job-id": "job0", "device": "disk0", "sync": "incremental", "bitmap": "b0"}
    for number, (wrong, text) in enumerate(REFUSED):
        t.step(f"refused: {', '.join(f'{key} {value}' for key, value in wrong.items())}")
        t.expect_error("blockdev-backup", {**arguments, **wrong}, error=text)
        disk.write(0x11, offset=number * 64 * KiB, length=1)
        owed.expect(count=(number + 1) * 4 * KiB, busy=False, recording=True)
        t.expect("bitmaps of the disk", len(t.node_bitmaps(disk)), 1)

    t.step("with the right arguments it starts, under the same id")
    job = t.blockdev_backup(disk, target, job_id="job0", sync="incremental", bitmap="b0")
    job.wait().expect_completed().expect(len=2 * MiB, offset=2 * MiB)
    owed.expect(count=0, busy=False)
    t.shutdown()
    target.expect_identical(disk.content)
