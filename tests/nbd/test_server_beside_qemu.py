"""The server beside qemu-nbd: the same bytes are sent to both, and the same bytes come back."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.block.programs import qemu_img, qemu_io
from tests.nbd.activation import serving
from tests.nbd.raw_client import (
    ABORT,
    CACHE,
    FLUSH,
    GO,
    INFO,
    LIST,
    LIST_META,
    NAME,
    READ,
    SET_META,
    STATUS,
    STRUCTURED,
    TLS,
    TRIM,
    WRITE,
    ZERO,
    RawClient,
    contexts,
    export,
)

SIZE = 1000448
MOST = 32 * 2**20
Connect = Callable[..., RawClient]
"""A new client; the flags with which it answers the greeting may be given."""
OBSERVED = ("5.2", "7.2", "10.0", "11.1")


def options(connect: Connect) -> list[str]:
    """All that can be asked before an export is chosen, sensible or not."""
    client = connect()
    client.option(99, b"abc")
    client.option(TLS)
    client.option(TLS, b"x")
    client.option(LIST, b"zz")
    client.option(LIST)
    for payload in (
        export("nope"),
        export("e"),
        export("e", 0, 1, 2, 3),
        export("e", 9),
        b"\0\0\0\x05ab",
        export("e") + b"zzz",
        b"\0\0\x13\x88" + b"a" * 5002,
        b"",
    ):
        client.option(INFO, payload)
    client.option(GO, export("x" * 4096))
    client.option(LIST_META, contexts("e"))
    client.option(SET_META, contexts("e", "base:allocation"))
    client.option(STRUCTURED, b"q")
    client.option(STRUCTURED)
    client.option(STRUCTURED)
    depth, allocation = "qemu:allocation-depth", "base:allocation"
    queries = (), ("base:",), ("qemu:",), ("qemu:dirty-bitmap:",), ("foo:bar", "base:allocatio", depth, allocation)
    for query in queries:
        client.option(LIST_META, contexts("e", *query))
    client.option(LIST_META, contexts("nope"))
    client.option(LIST_META, b"\0\0")
    client.option(LIST_META, contexts("e", "base:")[:-2])
    client.option(SET_META, contexts("e", "base:", "qemu:"))
    client.option(SET_META, contexts("e", "qemu:dirty-bitmap:b0", allocation, allocation))
    return client.notes


def requests(connect: Connect) -> list[str]:
    """All that can be asked of an export by a client that understands structured replies."""
    client = connect()
    client.option(STRUCTURED)
    client.option(SET_META, contexts("e", "qemu:dirty-bitmap:b0", "base:allocation", "qemu:allocation-depth"))
    client.option(GO, export("e", 3))
    for offset, length in ((0, 0), (0, 512), (65536, 512), (65530, 20), (SIZE, 1), (SIZE - 8, 8), (1 << 63, 1)):
        client.request(READ, offset, length)
    for length in (MOST + 1, 0xFFFFFFFF):
        client.request(READ, 0, length)
    for offset, flags in ((65536, 4), (0, 4), (0, 1), (0, 2), (0, 0x8000)):
        client.request(READ, offset, 512, flags)
    for offset, flags in ((131072, 0), (131072, 1), (131072, 2), (SIZE - 2, 0)):
        client.request(WRITE, offset, 4, flags, b"abcd")
    client.request(WRITE)
    client.request(FLUSH)
    client.request(FLUSH, 5, 5)
    for offset, length, flags in ((196608, 65536, 0), (SIZE - 448, 60000, 0), (196608, 65536, 1), (0, 0, 0)):
        client.request(TRIM, offset, length, flags)
    for offset, length in ((0, 65536), (0, MOST + 1), (SIZE, 1), (700001, 5), (SIZE - 5, 5)):
        client.request(CACHE, offset, length)
    client.request(STATUS, 655360, SIZE - 655360)
    for length, flags in ((65536, 0), (65536, 2), (512, 3), (65536, 16), (512, 4), (0xFFFFFFFF, 0), (0, 0)):
        client.request(ZERO, 0, length, flags)
    for offset, length, flags in ((0, 65536, 8), (0, 0, 0), (65536, 100, 0), (131073, 7, 0), (SIZE, 1, 0), (0, 10, 4)):
        client.request(STATUS, offset, length, flags)
    for command in (9, 77, 8):
        client.request(command)
    client.request(WRITE, 0, MOST + 1)
    client.request(READ, 0, 512)
    return client.notes


def plain(connect: Connect) -> list[str]:
    """A client that understands no structured replies, and loses its place at the end."""
    client = connect()
    client.option(GO, export("e"))
    for command, offset, length, flags in (
        (READ, 65536, 512, 0),
        (READ, 0, 0, 0),
        (READ, 0, 512, 4),
        (READ, SIZE, 1, 0),
        (STATUS, 0, 512, 0),
        (FLUSH, 0, 0, 0),
        (ZERO, 0, 4, 0),
    ):
        client.request(command, offset, length, flags)
    client.request(READ, 0, 512, magic=5)
    return client.notes


def old_ways(connect: Connect) -> list[str]:
    """EXPORT_NAME, with and without zeroes; what is no option at all; leaving."""
    notes: list[str] = []
    for flags, length in ((3, 10), (1, 134)):
        client = connect(flags)
        client.send(b"IHAVEOPT" + NAME.to_bytes(4, "big") + b"\0\0\0\1e")
        client.notes.append(client.take(length).hex())
        client.request(READ, 65536, 4)
        notes += client.notes
    for first, option in (
        (0, {"code": LIST}),
        (8, {"code": LIST}),
        (3, {"code": LIST, "magic": b"IHAVEOP?"}),
        (3, {"code": LIST, "length": 0x7FFFFFFF}),
        (3, {"code": ABORT}),
        (3, {"code": ABORT, "payload": b"xx"}),
        (3, {"code": NAME, "payload": b"nope"}),
    ):
        client = connect(first)
        client.option(**option)  # type: ignore[arg-type]
        notes += client.notes
    return notes


def other_contexts(connect: Connect) -> list[str]:
    """Meta contexts that were chosen, and then not."""
    notes: list[str] = []
    for more in (contexts("nope", "base:allocation"), contexts("e"), None):
        client = connect()
        client.option(STRUCTURED)
        client.option(SET_META, contexts("e", "base:allocation"))
        if more is None:
            client.option(LIST_META, contexts("e", "qemu:allocation-depth"))
        else:
            client.option(SET_META, more)
        client.option(GO, export("e"))
        client.request(STATUS, 65536, 512)
        notes += client.notes
    return notes


def installed_release() -> str | None:
    program = shutil.which("qemu-nbd")
    if program is None or shutil.which("qemu-img") is None or shutil.which("qemu-io") is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r" (\d+\.\d+)", said)
    return found[1] if found and found[1] in OBSERVED else None


@pytest.mark.skipif(installed_release() is None, reason="no qemu-nbd of an observed release is installed")
@pytest.mark.parametrize("scenario", [options, requests, plain, old_ways, other_contexts], ids=lambda f: f.__name__)
def test_same_answers(
    scenario: Callable[[Connect], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "BACKCHECK_RELEASE", str(installed_release()))
    transcripts = []
    for program in (["qemu-nbd"], [sys.executable, "-m", "backcheck_engine.tools.nbd"]):
        qemu_img("create", "-q", "-f", "qcow2", "disk.qcow2", str(SIZE))
        qemu_img("bitmap", "--add", "disk.qcow2", "b0")
        qemu_io("-f", "qcow2", "-c", "write -P 1 64k 64k", "disk.qcow2")
        arguments = ["-t", "-e", "9", "-f", "qcow2", "-x", "e", "-D", "text", "-A", "-B", "b0", "disk.qcow2"]
        with serving(Path("sock"), *program, *arguments), ExitStack() as clients:
            transcripts.append(scenario(lambda flags=3: clients.enter_context(RawClient(Path("sock"), flags))))
    theirs, ours = transcripts
    assert ours == theirs
