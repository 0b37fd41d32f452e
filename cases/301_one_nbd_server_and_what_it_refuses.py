"""A machine has one NBD server at most: it is checked what it is given, and what needs it is refused without it."""

from backcheck import Case, JsonObject, MiB, case

ADDRESS: JsonObject = {"type": "unix", "data": {"path": "nbd.sock"}}
NO_SERVER = "NBD server not running"


@case(rules=["EXP-01"], groups=["nbd", "export", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    export: JsonObject = {"type": "nbd", "id": "export0", "node-name": disk.node_name}

    t.step("without a server")
    t.expect_error("nbd-server-stop", error=NO_SERVER)
    t.expect_error("nbd-server-add", device="disk0", error=NO_SERVER)
    t.expect_error("block-export-add", export, error=NO_SERVER)
    t.expect_error("nbd-server-remove", name="disk0", error="Export 'disk0' is not found")
    t.expect_error("block-export-del", id="disk0", error="Export 'disk0' is not found")

    t.step("where it cannot be, and what is no address: there still is none")
    t.expect_error("nbd-server-start", addr={"type": "unix", "data": {"path": "nodir/nbd.sock"}})
    t.expect_error("nbd-server-start", addr=ADDRESS, tls_creds="nope", error="No TLS credentials with id 'nope'")
    t.expect_error("nbd-server-start", addr=ADDRESS, max_connections=-1)
    t.expect_error("nbd-server-start", addr={"type": "nosuch", "data": {"path": "nbd.sock"}})
    t.expect_error("nbd-server-start", addr={"type": "unix", "data": {}})
    t.expect_error("nbd-server-start")
    t.expect_error("nbd-server-stop", error=NO_SERVER)

    t.step("with a server: not another")
    t.qmp("nbd-server-start", addr=ADDRESS)
    other: JsonObject = {"type": "unix", "data": {"path": "other.sock"}}
    t.expect_error("nbd-server-start", addr=other, error="NBD server already running")
    t.expect("a client of the second", t.img("info", "nbd:unix:other.sock").status, 1)
    t.qmp("nbd-server-add", device="disk0")
    t.expect(
        "a client of the first", t.img("compare", "nbd:unix:nbd.sock:exportname=disk0", "disk0.img", "-U").status, 0
    )

    t.step("stopped it takes its exports along, and can be started where it was")
    t.qmp("nbd-server-stop")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.expect("exports", t.ask_list("query-block-exports"), [])
    t.expect_error("nbd-server-stop", error=NO_SERVER)
    t.expect("a client", t.img("info", "nbd:unix:nbd.sock:exportname=disk0").status, 1)
    t.qmp("nbd-server-start", addr=ADDRESS)
    t.expect("an export of before", t.img("info", "nbd:unix:nbd.sock:exportname=disk0").status, 1)
    t.qmp("nbd-server-stop")
