"""Only a writable export is written to; what is written there the guest reads, and bitmaps record it."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(rules=["EXP-05"], groups=["nbd", "export", "bitmap", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.node("sealed", tree={"driver": "null-co", "size": MiB, "read-only": True, "read-zeroes": True})
    disk.write(0x11, offset=0, length=4 * MiB)
    marks = disk.add_bitmap("b0")
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})

    def client(name: str, request: str, *, read_only: bool = False) -> str:
        """What a client of an export is told of a request, without where and how long it was; the golden has it."""
        how = ["-r"] if read_only else []
        done = t.io("-f", "raw", *how, "-c", request, f"nbd:unix:nbd.sock:exportname={name}")
        told = (done.stderr + done.stdout).splitlines()[0].rpartition(": ")[2].partition(" at offset")[0]
        t.record(f"client of {name}", {"request": request, "told": told})
        return told

    t.step("by default it is for readers")
    t.qmp("nbd-server-add", device="disk0")
    client("disk0", "write -P 0x22 0 64k")
    t.expect("a reader", client("disk0", "read -P 0x11 0 64k", read_only=True), "read 65536/65536 bytes")
    disk.write(0x33, offset=0, length=64 * KiB)
    t.expect("a reader", client("disk0", "read -P 0x33 0 64k", read_only=True), "read 65536/65536 bytes")
    marks.expect(count=64 * KiB)

    t.step("writable: at once on the disk, and marked")
    t.qmp("nbd-server-add", device="disk0", name="open", writable=True)
    t.expect("a writer", client("open", "write -P 0x44 1049088 512"), "wrote 512/512 bytes")
    disk.read(0x44, offset=MiB + 512, length=512)
    disk.read(0x11, offset=MiB, length=512)
    marks.expect(count=128 * KiB)
    t.expect("a writer", client("open", "write -z 2M 1M"), "wrote 1048576/1048576 bytes")
    disk.read(0, offset=2 * MiB, length=MiB)
    disk.read(0x11, offset=3 * MiB, length=MiB)
    marks.expect(count=128 * KiB + MiB)
    t.expect("a reader", client("disk0", "read -P 0x44 1049088 512", read_only=True), "read 512/512 bytes")
    t.expect("beyond the end", client("open", "write 4M 512"), "Input/output error")

    t.step("what cannot be written: one command says so, the other makes an export for readers")
    export: JsonObject = {"type": "nbd", "id": "sealed0", "node-name": "sealed", "writable": True}
    t.expect_error("block-export-add", export, error="Cannot export read-only node as writable")
    t.qmp("nbd-server-add", device="sealed", writable=True)
    client("sealed", "write 0 512")
