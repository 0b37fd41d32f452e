"""With mode=existing a target that is missing, or is not what was said, is an error of opening it."""

from backcheck import Case, MiB, case

REFUSED = [
    ({"target": "missing.img"}, "Could not open 'missing.img': No such file or directory"),
    ({"target": "missing.img", "format": "qcow2"}, "Could not open 'missing.img': No such file or directory"),
    ({"target": "plain.img", "format": "qcow2"}, "Image is not in qcow2 format"),
    ({"target": "plain.img", "format": "nosuch"}, "Unknown driver 'nosuch'"),
    ({"target": "nosuch:plain.img"}, "Unknown protocol 'nosuch'"),
    ({"target": "", "format": "raw"}, "The 'file' block driver requires a file name"),
    ({"target": "/", "format": "raw"}, None),
]


@case(rules=["ERR-16"], groups=["error", "target", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    plain = t.image("plain.img", size=MiB, format="raw")
    plain.write(0x44, offset=0, length=MiB)
    for wrong, error in REFUSED:
        t.expect_error("drive-backup", {"device": "disk0", "sync": "full", "mode": "existing", **wrong}, error=error)

    t.step("the file that was there is as it was")
    plain.expect_identical(plain.content)
    t.expect("missing.img exists", t.existing_image("missing.img").exists(), False)
