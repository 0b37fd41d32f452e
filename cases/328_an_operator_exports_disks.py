"""At the human monitor a server is started with all disks or none, and exports come and go one by one."""

from backcheck import Case, MiB, case


@case(rules=["EXP-11"], groups=["nbd", "export", "hmp"])
def run(t: Case) -> None:
    for name in ("disk0", "disk1"):
        t.drive(name, size=MiB)
    t.node("node0", size=MiB)

    def ids() -> list[str]:
        return sorted(str(export["id"]) for export in t.ask_list("query-block-exports"))

    def writes() -> bool:
        return t.io("-f", "raw", "-c", "write 0 512", "nbd:unix:nbd.sock:exportname=disk0").status == 0

    t.step("all disks at once, for readers")
    t.hmp("nbd_server_start -a unix:nbd.sock")
    t.expect("exports", ids(), ["disk0", "disk1"])
    t.expect("a client writes", writes(), False)
    t.hmp("nbd_server_start unix:other.sock")
    t.hmp("nbd_server_add disk0")
    t.hmp("nbd_server_stop")
    for _ in range(2):
        t.wait_event("BLOCK_EXPORT_DELETED")
    t.expect("exports", ids(), [])

    t.step("for writers")
    t.hmp("nbd_server_start -a -w unix:nbd.sock")
    t.expect("a client writes", writes(), True)
    t.hmp("nbd_server_stop")
    for _ in range(2):
        t.wait_event("BLOCK_EXPORT_DELETED")

    t.step("one by one, also nodes, under other names")
    t.hmp("nbd_server_start unix:nbd.sock")
    t.hmp("nbd_server_add -w disk0 other")
    t.hmp("nbd_server_add node0")
    t.expect("exports", ids(), ["node0", "other"])
    t.hmp("nbd_server_add nope")
    t.hmp("nbd_server_remove disk0")
    t.hmp("nbd_server_remove other")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.hmp("nbd_server_remove -f node0")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.hmp("nbd_server_stop")

    t.step("what is no command")
    t.hmp("nbd_server_stop")
    t.hmp("nbd_server_start -w unix:nbd.sock")
    t.hmp("nbd_server_start")
    t.hmp("nbd_server_add disk0")
