"""A format or protocol that is unknown, or cannot create images, is refused before anything is printed or made."""

from backcheck import Case, MiB, case

REFUSED = [
    ({"format": "nosuch"}, "Unknown file format 'nosuch'"),
    ({"format": ""}, "Unknown file format ''"),
    ({"format": "QCOW2"}, "Unknown file format 'QCOW2'"),
    ({"format": "null-co"}, "Format driver 'null-co' does not support image creation"),
    ({"format": "copy-on-read"}, "Format driver 'copy-on-read' does not support image creation"),
    ({"target": "nosuch:a.img"}, "Unknown protocol 'nosuch'"),
    ({"target": "json:{}"}, "Unknown protocol 'json'"),
    ({"target": "nosuch:a.img", "format": "nosuch"}, "Unknown file format 'nosuch'"),
    ({"target": "nosuch:a.img", "format": "null-co"}, "Unknown protocol 'nosuch'"),
]


@case(rules=["ERR-12", "TGT-03"], groups=["error", "target", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    for wrong, error in REFUSED:
        t.expect_error("drive-backup", {"device": "disk0", "target": "a.img", "sync": "full", **wrong}, error=error)
    t.expect("a.img exists", t.existing_image("a.img").exists(), False)
