"""An export is a disk like any other: clients make a qcow2 image in it, and a backup goes there by a second server."""

from backcheck import Case, MiB, case


@case(rules=["NBD-01", "NBD-06"], groups=["nbd", "target"], requires=["nbd-server"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=2 * MiB)
    before = disk.content
    room = t.image("room.img", size=8 * MiB, format="raw")
    outer = t.nbd_server("-f", "raw", room.name, name="outer")

    t.step("a client makes an image in the export, and fills it")
    t.expect("status of img create", t.img("create", "-q", "-f", "qcow2", outer.url, "4M").status, 0)
    t.expect("status of io", t.io("-f", "qcow2", "-c", "write -P 0x22 1M 3M", outer.url).status, 0)
    t.expect("status of img check", t.img("check", "-f", "qcow2", outer.url).status, 0)

    t.step("a server over that server shows what is in the image, and a backup goes through both")
    inner = t.nbd_server("-f", "qcow2", "-x", "inner", outer.url, name="inner")
    url = inner.export_url("inner")
    t.expect("status of a reader", t.io("-f", "raw", "-r", "-c", "read -P 0x22 1M 3M", url).status, 0)
    job = t.drive_backup(disk, url, mode="existing", format="raw")
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.expect("status of a reader", t.io("-f", "raw", "-r", "-c", "read -P 0 2M 2M", url).status, 0)
    inner.stop()
    outer.stop()
    image = t.existing_image("room.img", format="qcow2")
    image.expect_identical(before)
    image.expect_clean()
