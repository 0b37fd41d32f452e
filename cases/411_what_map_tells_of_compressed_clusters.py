"""qemu-img map tells of a compressed cluster since 10.0, and of one that is present since 6.1; the data is the same."""

import json

from backcheck import Case, JsonObject, KiB, MiB, case
from backcheck.json_types import objects


@case(rules=["CMP-15", "CMP-03"], groups=["compress", "tool", "quick"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=MiB)
    source.write(0x11, length=128 * KiB)
    source.write_noise(offset=512 * KiB, length=64 * KiB)
    disk = t.drive("disk0", image=source)
    job = t.drive_backup(disk, "target.img", compress=True)
    job.wait().expect_completed()

    t.step("each extent with its keys; a compressed one has no offset in the file")
    printed = t.img("map", "--output=json", "-f", "qcow2", "target.img").stdout
    for extent in objects(json.loads(printed)):
        told: JsonObject = {key: value for key, value in extent.items() if key != "offset"}
        t.record("extent", {**told, "offset": "offset" in extent})

    t.step("for people: a file offset for each extent that has one")
    human = t.img("map", "-f", "qcow2", "target.img")
    t.record("map", {"status": human.status, "lines": len(human.stdout.splitlines())})
    t.record("refused", {"stderr": human.stderr.strip().split(": ", 1)[1]})
