"""block_job_set_speed takes a size with a suffix, and MiB where there is none."""

from backcheck import Case, GiB, KiB, MiB, TiB, case

SPEEDS = {
    "1": MiB,
    "2m": 2 * MiB,
    "1k": KiB,
    "7K": 7 * KiB,
    "1b": 1,
    "1B": 1,
    "1023b": 1023,
    "1.5M": 3 * MiB // 2,
    "0.5": MiB // 2,
    "1.5k": 1536,
    "3g": 3 * GiB,
    "1T": TiB,
    "2P": 2048 * TiB,
    "1e": 1024 * 1024 * TiB,
    "9007199254740991b": (1 << 53) - 1,
    "007": 7 * MiB,
    "0": 0,
}
NO_SIZES = ("-1", "abc", "", "k", "16E", "8E", "--1", '"1"', "1.5b")
MORE_THAN_SIZES = ("1x", "1kk", "1 k", "1-1", "1 1")

HINT = 'Try "help block_job_set_speed" for more information\r\n'


@case(rules=["SPD-07", "HMP-08", "HMP-04"], groups=["hmp", "speed", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)

    t.step("of no job")
    t.expect("answer", t.hmp("block_job_set_speed disk0 1"), "Error: Block job 'disk0' not found\r\n")

    t.step("sizes")
    job = t.drive_backup(disk, "target.img", sync="none", job_id=None)
    for text, speed in SPEEDS.items():
        t.expect("answer", t.hmp(f"block_job_set_speed disk0 {text}"), "")
        t.expect(f"speed after {text}", job.query()["speed"], speed)
    job.expect_query(speed=0)

    t.step("no sizes: the speed stays")
    t.hmp("block_job_set_speed disk0 3k")
    for text in NO_SIZES:
        t.expect("answer", t.hmp(f"block_job_set_speed disk0 {text}"), f"invalid size\r\n{HINT}")
    for text in MORE_THAN_SIZES:
        said = t.hmp(f"block_job_set_speed disk0 {text}")
        t.expect("answer", said, f"block_job_set_speed: extraneous characters at the end of line\r\n{HINT}")
    job.expect_query(speed=3 * KiB)
    job.cancel().wait().expect_cancelled().expect(speed=3 * KiB)
