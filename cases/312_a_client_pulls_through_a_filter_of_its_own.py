"""Pull backup without a job: copy-before-write under the guest and snapshot-access exported give the point in time."""

from backcheck import Case, Image, KiB, MiB, case


@case(
    rules=["FLT-04", "FLT-05", "FLT-11"],
    groups=["nbd", "export", "pull", "filter"],
    formats=["qcow2", "raw"],
    requires=["driver:copy-before-write", "driver:snapshot-access"],
)
def run(t: Case) -> None:
    image = t.image("disk0.img", size=4 * MiB)
    image.write(0x11, offset=0, length=3 * MiB)
    t.node("disk0", image=image)
    t.node("store0", image=t.image("store.img", size=4 * MiB, format="qcow2"))
    before = image.content
    t.node("filter0", tree={"driver": "copy-before-write", "file": "disk0", "target": "store0"})
    t.node("start0", tree={"driver": "snapshot-access", "file": "filter0"})
    guest = t.guest_on("filter0", image)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    t.qmp("nbd-server-add", device="start0", name="start")

    def pull(name: str) -> Image:
        """What a client reads from end to end."""
        done = t.img("convert", "-f", "raw", "-O", "raw", "nbd:unix:nbd.sock:exportname=start", name)
        t.expect("status of img convert", done.status, 0)
        return t.existing_image(name, format="raw")

    def client(command: str) -> str:
        done = t.io("-f", "raw", "-r", "-c", command, "nbd:unix:nbd.sock:exportname=start")
        return done.stdout.partition(" bytes")[0]

    t.step("the guest writes here and there, in the middle of clusters and beyond what was written before")
    guest.write(0x22, offset=64 * KiB + 512, length=512)
    guest.write(0, offset=MiB, length=256 * KiB)
    guest.write(0x33, offset=3 * MiB - 512, length=1024)
    pull("first.img").expect_identical(before)
    guest.read(0x22, offset=64 * KiB + 512, length=512)
    guest.read(0x11, offset=64 * KiB, length=512)

    t.step("a request over copied and live clusters")
    guest.write(0x44, offset=2 * MiB, length=64 * KiB)
    t.expect("a client", client("read -P 0x11 1984k 192k"), "read 196608/196608")

    t.step("over all of it")
    guest.write(0x55, offset=0, length=4 * MiB)
    pull("second.img").expect_identical(before)

    t.step("nobody writes the past, not even where an export would let him")
    t.qmp("block-export-add", type="nbd", id="past", node_name="start0", name="past", writable=True)
    done = t.io("-f", "raw", "-c", "write -P 0x66 0 64k", "nbd:unix:nbd.sock:exportname=past")
    t.record("client of past", {"request": "write -P 0x66 0 64k", "told": done.stderr.strip() or done.stdout.strip()})
    guest.read(0x55, offset=0, length=64 * KiB)
    pull("third.img").expect_identical(before)

    t.step("all is taken down from above")
    t.expect_error("blockdev-del", node_name="filter0")
    t.qmp("nbd-server-stop")
    for _ in range(2):
        t.wait_event("BLOCK_EXPORT_DELETED")
    for name in ("start0", "filter0", "store0"):
        t.qmp("blockdev-del", node_name=name)
    t.shutdown()
    image.expect_identical(image.content)
