"""A target that was probed as raw takes nothing that would make it look like another format."""

from backcheck import Case, MiB, case


@case(rules=["TGT-14", "TGT-17", "POL-02", "EVT-05"], groups=["target", "error", "quick"])
def run(t: Case) -> None:
    image = t.image("disk0.img", size=MiB, format="raw")
    image.path.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(MiB - 8))
    disk = t.drive("disk0", image=image, format="raw")
    probed = t.image("probed.img", size=MiB, format="raw")
    named = t.image("named.img", size=MiB, format="raw")

    t.step("the source begins with the magic of qcow2: that is not written to a raw image that was guessed")
    job = t.drive_backup(disk, probed.name, mode="existing")
    job.wait()
    t.record_stderr()
    t.record("probed.img", {"first-bytes": probed.path.read_bytes()[:4].hex()})

    t.step("it is written where the format was named")
    t.drive_backup(disk, named.name, mode="existing", format="raw").wait().expect_completed()
    t.record("named.img", {"first-bytes": named.path.read_bytes()[:4].hex()})
