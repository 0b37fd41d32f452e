"""An increment is pulled: the client reads the bitmap of what changed, and of the point in time just that."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(
    rules=["FLT-04", "FLT-06", "EXP-06", "EXP-08"],
    groups=["nbd", "export", "pull", "filter", "bitmap"],
    requires=["driver:copy-before-write", "driver:snapshot-access"],
)
def run(t: Case) -> None:
    image = t.image("disk0.img", size=4 * MiB)
    image.write(0x11)
    disk = t.node("disk0", image=image)
    t.node("store0", image=t.image("store.img", size=4 * MiB))
    marks = disk.add_bitmap("b0", granularity=64 * KiB)
    early = t.guest_on("disk0", image)
    early.write(0x22, offset=MiB + 512, length=1024)
    early.write(0x33, offset=3 * MiB, length=128 * KiB)
    marks.disable()

    t.step("the filter protects what the bitmap names, and the bitmap is exported from below")
    tree: JsonObject = {"driver": "copy-before-write", "file": "disk0", "target": "store0"}
    t.node("filter0", tree={**tree, "bitmap": {"node": "disk0", "name": "b0"}})
    t.node("start0", tree={"driver": "snapshot-access", "file": "filter0"})
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    export: JsonObject = {"type": "nbd", "id": "start", "node-name": "start0", "name": "start"}
    t.expect_error("block-export-add", {**export, "bitmaps": ["b0"]}, error="Bitmap 'b0' is not found")
    t.expect_error("block-export-add", {**export, "bitmaps": [{"node": "disk0", "name": "nope"}]})
    t.qmp("block-export-add", {**export, "bitmaps": [{"node": "disk0", "name": "b0"}]})
    marks.expect(count=192 * KiB, busy=True, recording=False)
    guest = t.guest_on("filter0", image)
    guest.write(0x44, offset=MiB, length=64 * KiB)
    guest.write(0x55, offset=2 * MiB, length=64 * KiB)
    guest.write(0x66, offset=3 * MiB + 64 * KiB, length=256 * KiB)
    marks.expect(count=192 * KiB)

    t.step("the client is told what changed")
    address = "driver=nbd,server.type=unix,server.path=nbd.sock,export=start"
    extents = t.img_map("b0", "--image-opts", f"{address},x-dirty-bitmap=qemu:dirty-bitmap:b0")
    changed = [[extent.start, extent.length] for extent in extents if not extent.data]
    t.expect("changed", changed, [[MiB, 64 * KiB], [3 * MiB, 128 * KiB]])

    def client(request: str) -> str:
        done = t.io("-f", "raw", "-r", "-c", request, "nbd:unix:nbd.sock:exportname=start")
        told = (done.stderr + done.stdout).splitlines()[0].partition(" at offset")[0]
        t.record("client", {"request": request, "told": told})
        return told

    t.step("of that it reads the point in time, byte by byte")
    for request in (
        "read -P 0x11 1M 512",
        "read -P 0x22 1049088 1k",
        "read -P 0x11 1050112 62k",
        "read -P 0x33 3M 128k",
    ):
        t.expect(f"bytes of {request}", "/" in client(request), True)

    t.step("of anything else nothing, and not a request that begins in it or ends there")
    for request in ("read 0 512", "read 2M 64k", "read 3200k 64k", "read 1023k 2k", "read 1087k 2k", "read 3199k 1025"):
        t.expect(request, client(request), "read failed: Invalid argument")
