"""What a client asks of an export reaches the disk in the same form, and is answered only when it is done there."""

import errno
from typing import Literal

from backcheck import Case, JsonObject, MiB, case

REQUESTS = (
    "write -P 0x11 0 64k",
    "write -f -P 0x22 64k 64k",
    "write -z 128k 64k",
    "write -z -u 192k 64k",
    "write -z -u -f 256k 64k",
    "discard 320k 64k",
    "flush",
)


@case(rules=["EXP-05", "NBD-01"], groups=["nbd", "export", "quick"], requires=["nbd-server"])
def run(t: Case) -> None:
    far = t.recording_target("far0", size=MiB)
    protocol: JsonObject = {**far.tree(), "discard": "unmap"}
    t.node("near0", tree={"driver": "raw", "file": protocol, "discard": "unmap"})
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    t.qmp("block-export-add", type="nbd", id="near", node_name="near0", name="near", writable=True)

    def client(request: str) -> bool:
        """Whether the request was done."""
        url = "nbd:unix:nbd.sock:exportname=near"
        # What is written first makes that there is something to flush.
        commands = ("-c", "write 768k 64k", "-c", request) if request == "flush" else ("-c", request)
        done = t.io("-t", "writeback", "-d", "unmap", "-f", "raw", *commands, url)
        return done.status == 0

    t.step("what arrives")
    for request in REQUESTS:
        seen = len(far.requests)
        t.expect(request, client(request), True)
        came = next((item for item in far.requests[seen:] if item.operation == _operation(request)), None)
        if came is not None:
            form: JsonObject = {"as": came.operation, "offset": came.offset, "length": came.length, "fua": came.fua}
            t.record(request, {**form, "no-hole": came.no_hole})
        t.expect(f"whether {request} came as such", came is not None, True)
        if came is not None:
            t.expect(f"whether {request} is through", came.fua, " -f" in request)
            if "-z" in request:
                t.expect(f"whether {request} keeps the place", came.no_hole, " -u" not in request)

    t.step("what is read has come whole, zeroes and all")
    for request in ("read -P 0x11 0 64k", "read -P 0 128k 192k", "read -P 0x22 64k 64k"):
        t.expect(request, client(request), True)

    t.step("what fails there has failed here")
    for request in ("write -P 0x33 512k 64k", "write -z 512k 64k", "discard 512k 64k", "flush"):
        operation = _operation(request)
        far.fail(operation, errno.EIO, times=1)
        t.expect(f"{request} done", client(request), False)
        far.obey()
    t.qmp("block-export-del", id="near")
    t.wait_event("BLOCK_EXPORT_DELETED")


def _operation(request: str) -> Literal["write", "write-zeroes", "trim", "flush"]:
    """What a request of the io tool is to a server."""
    if request.startswith("write"):
        return "write-zeroes" if "-z" in request else "write"
    return "trim" if request.startswith("discard") else "flush"
