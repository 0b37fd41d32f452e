"""A bitmap and its mode go together: which of them is wrong is told in order, and the bitmap stays as it was."""

from backcheck import Case, JsonObject, KiB, MiB, case

ON_SUCCESS = "Bitmap sync mode must be 'on-success' when using sync mode 'incremental'"
NO_MODE = "Bitmap sync mode must be given when providing a bitmap"
NO_BITMAP = "Cannot specify bitmap sync mode without a bitmap"
REFUSED: dict[str, list[tuple[JsonObject, str]]] = {
    "a bitmap must be named": [
        ({"sync": "incremental"}, "must provide a valid bitmap name for 'incremental' sync mode"),
        (
            {"sync": "incremental", "bitmap-mode": "never"},
            "must provide a valid bitmap name for 'incremental' sync mode",
        ),
        ({"sync": "bitmap"}, "must provide a valid bitmap name for 'bitmap' sync mode"),
    ],
    "incremental knows one mode": [
        ({"sync": "incremental", "bitmap": "nope", "bitmap-mode": "never"}, ON_SUCCESS),
        ({"sync": "incremental", "bitmap": "b0", "bitmap-mode": "always"}, ON_SUCCESS),
    ],
    "the bitmap must be one of the source": [
        ({"sync": "incremental", "bitmap": "nope"}, "Bitmap 'nope' could not be found"),
        ({"sync": "bitmap", "bitmap": ""}, "Bitmap '' could not be found"),
        ({"sync": "full", "bitmap": "b1", "bitmap-mode": "never"}, "Bitmap 'b1' could not be found"),
    ],
    "its mode must be given, but for incremental": [
        ({"sync": "bitmap", "bitmap": "b0"}, NO_MODE),
        ({"sync": "full", "bitmap": "b0"}, NO_MODE),
        ({"sync": "none", "bitmap": "b0"}, NO_MODE),
    ],
    "a mode needs a bitmap": [
        ({"sync": "full", "bitmap-mode": "always"}, NO_BITMAP),
        ({"sync": "none", "bitmap-mode": "on-success"}, NO_BITMAP),
    ],
}


@case(rules=["ARG-14", "ERR-20", "ERR-21", "ERR-22", "ERR-25", "ERR-34", "ERR-36"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disk, other = t.drive("disk0", size=MiB), t.drive("disk1", size=MiB)
    owed = disk.add_bitmap("b0")
    other.add_bitmap("b1")
    disk.write(0x11, offset=0, length=4 * KiB)

    for title, refused in REFUSED.items():
        t.step(title)
        for wrong, error in refused:
            wanted = {"job-id": "job9", "device": "disk0", "target": "target.img", **wrong}
            t.expect_error("drive-backup", wanted, error=error)

    t.step("nothing has happened but to the target: the same bitmap can be used at once")
    owed.expect(count=64 * KiB, busy=False, recording=True)
    t.expect("target.img exists", t.existing_image("target.img").exists(), True)
    job = t.drive_backup(disk, "target.img", sync="incremental", bitmap="b0")
    job.wait().expect_completed().expect(len=64 * KiB)
    job = t.drive_backup(disk, "target.img", sync="incremental", bitmap="b0", bitmap_mode="on-success")
    job.wait().expect_completed().expect(len=0)
    owed.expect(count=0, busy=False)
