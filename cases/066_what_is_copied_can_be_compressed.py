"""With compress the target holds compressed clusters, whether the job or a guest's write had them copied."""

import json

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-03", "CMP-14"], groups=["compress", "cbw", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("a guest writes where the job has not been")
    job = t.drive_backup(disk, "target.img", compress=True, speed=64 * KiB)
    disk.write(0x22, offset=3 * MiB + 4 * KiB, length=64 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=8 * MiB, offset=8 * MiB, error=None)

    t.step("data is compressed, zeroes are nowhere")
    job.target.expect_identical(before)
    job.target.expect_clean()
    checked = json.loads(t.img("check", "--output=json", "target.img").stdout)
    t.expect_state("target.img", checked, allocated_clusters=64, compressed_clusters=64)
