"""snapshot-access over the filter of a running job gives its start, to several clients at once, until the job ends."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(
    rules=["FLT-05", "FLT-15"],
    groups=["nbd", "export", "pull", "filter", "none"],
    requires=["driver:snapshot-access"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.node("target0", size=4 * MiB)
    job = t.blockdev_backup(disk, target, sync="none", filter_node_name="filter0")
    past: JsonObject = {"node-name": "past0", "driver": "snapshot-access", "file": "filter0"}
    t.qmp("blockdev-add", past)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    for name in ("one", "two"):
        t.qmp("nbd-server-add", device="past0", name=name)

    t.step("the guest writes, two clients read at once")
    disk.write(0x22, offset=64 * KiB, length=64 * KiB)
    disk.write(0x33, offset=3 * MiB, length=MiB)
    one, two = (f"nbd+unix:///{name}?socket=nbd.sock" for name in ("one", "two"))
    compared = t.img("compare", "-f", "raw", "-F", "raw", one, two)
    t.expect("comparison", compared.stdout, "Images are identical.\n")
    done = t.img("convert", "-f", "raw", "-O", "raw", one, "pulled.img")
    t.expect("status of img convert", done.status, 0)
    t.existing_image("pulled.img", format="raw").expect_identical(before)
    job.expect_query(status="running", offset=64 * KiB + MiB)

    t.step("the job goes, and with it the past: readers are told so, and get no byte of today")
    job.cancel()
    job.wait().expect_cancelled()
    read = t.io("-f", "raw", "-r", "-c", "read 0 512", one)
    t.record("client of one", {"request": "read 0 512", "told": (read.stderr + read.stdout).strip()})
    t.expect("status of the reader", read.status, 1)

    t.step("the rest is taken down")
    t.expect_error("blockdev-del", node_name="past0", error="Node past0 is in use")
    t.qmp("nbd-server-stop")
    for _ in range(2):
        t.wait_event("BLOCK_EXPORT_DELETED")
    t.qmp("blockdev-del", node_name="past0")
    t.qmp("blockdev-del", node_name="target0")
