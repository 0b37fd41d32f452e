"""An export with clients stays unless it is taken by force; then, and when the server stops, they are cut off."""

from backcheck import Case, MiB, case


@case(rules=["EXP-03", "EXP-01"], groups=["nbd", "export", "event"], requires=["nbd-server"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    names = ("first", "second")
    for name in names:
        t.qmp("nbd-server-add", device="disk0", name=name)
    urls = {name: f"nbd+unix:///{name}?socket=nbd.sock" for name in names}
    near = {name: t.nbd_server("-f", "raw", "-r", urls[name], name=f"{name}-client") for name in names}

    def reads(name: str) -> bool:
        """Whether the client that has been there since the start still can."""
        return t.io("-f", "raw", "-r", "-c", "read -P 0x11 0 4M", near[name].url).status == 0

    t.step("safe: it stays, and is not shutting down")
    t.expect_error("block-export-del", id="first", error="export 'first' still in use")
    t.expect_error("nbd-server-remove", name="first")
    t.expect("exports", [export["shutting-down"] for export in t.ask_list("query-block-exports")], [False, False])
    t.expect("the client reads", reads("first"), True)

    t.step("hard: it goes, and the others' clients notice nothing")
    t.qmp("block-export-del", id="first", mode="hard")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.expect("the client reads", reads("first"), False)
    t.expect("the client of another reads", reads("second"), True)
    t.expect("exports", [export["id"] for export in t.ask_list("query-block-exports")], ["second"])

    t.step("the server stops")
    t.qmp("nbd-server-stop")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.expect("the client reads", reads("second"), False)
    for client in near.values():
        client.stop()
