"""The client's negotiation, with servers that are wrong in one place each: the error, and what real qemu-img says."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from backcheck_engine.address import UnixAddress
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd.connection import Connection
from backcheck_engine.nbd.handshake import Export, Wanted
from tests.block.loop import run
from tests.block.programs import qemu_img
from tests.nbd.activation import needs_qemu_img
from tests.nbd.scripted_server import (
    ERROR,
    SIZE,
    Peer,
    Script,
    ScriptedServer,
    block_sizes,
    honest,
    info,
    negotiate,
    serve,
)

EOF = "Unexpected end-of-file before all data were read"
GO, STRUCTURED, CONTEXT, LIST = 7, 8, 10, 3


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shake_hands(export: str = "", context: str = "base:allocation") -> Export:
    """What a client gets from the server at "sock"."""

    async def connect() -> Export:
        connection = await Connection.open(UnixAddress("sock"), Wanted(export=export, context=context))
        await connection.close()
        return connection.export

    return run(connect())


def says(data: bytes) -> Script:
    """A server that says that, and goes."""
    return lambda peer: peer.send(data)


def answers(wrong: int, how: Callable[[Peer], None]) -> Script:
    """A server that is honest until option `wrong`, which it answers in its own way."""

    def script(peer: Peer) -> None:
        peer.greet()
        while True:
            code, _ = peer.option()
            if code == wrong:
                how(peer)
                peer.receive(1)
                return
            if code == STRUCTURED:
                peer.reply(code, 1)
            elif code == CONTEXT:
                peer.reply(code, ERROR | 1)
            else:
                peer.reply(code, ERROR | 1)

    return script


def infos(*payloads: bytes) -> Script:
    def script(peer: Peer) -> None:
        negotiate(peer, infos=payloads)
        peer.receive(1)

    return script


def refuses(kind: int, message: bytes = b"") -> Script:
    return answers(GO, lambda peer: peer.reply(GO, ERROR | kind, message))


def context(*payloads: bytes) -> Script:
    def how(peer: Peer) -> None:
        for payload in payloads:
            peer.reply(CONTEXT, 4, payload)
        peer.reply(CONTEXT, 1)

    return answers(CONTEXT, how)


def lists(peer: Peer) -> None:
    peer.reply(LIST, 2, struct.pack(">I", 5) + b"other")
    peer.reply(LIST, 1)


ID = struct.pack(">I", 1)
WRONG: dict[str, tuple[Script, str]] = {
    "gone": (lambda peer: None, f"Failed to read initial magic: {EOF}"),
    "stranger": (says(b"HTTP/1.1 400 Bad Request\r\n"), "Bad initial magic received: 0x485454502f312e31"),
    "half a greeting": (says(b"NBDMAGIC"), f"Failed to read server magic: {EOF}"),
    "another style": (says(b"NBDMAGIC" + b"Y" * 10), "Bad server magic received: 0x5959595959595959"),
    "no flags": (says(b"NBDMAGICIHAVEOPT"), f"Failed to read server flags: {EOF}"),
    "policy": (refuses(2), "Denied by server for option 7 (go)"),
    "invalid": (refuses(3), "Invalid parameters for option 7 (go)"),
    "platform": (refuses(4), "Server lacks support for option 7 (go)"),
    "TLS": (refuses(5), "TLS negotiation required before option 7 (go)"),
    "unknown export": (refuses(6), "Requested export not available"),
    "shutting down": (refuses(7), "Server shutting down before option 7 (go)"),
    "block size": (refuses(8), "Server requires INFO_BLOCK_SIZE for option 7 (go)"),
    "strange refusal": (refuses(77), "Unknown error code when asking for option 7 (go)"),
    "endless refusal": (
        answers(GO, lambda peer: peer.reply(GO, ERROR | 2, length=1 << 31)),
        "server error 2147483650 (denied by policy) message is too long",
    ),
    "reply magic": (answers(STRUCTURED, lambda peer: peer.reply(8, 1, magic=5)), "Unexpected option reply magic"),
    "other option": (
        answers(STRUCTURED, lambda peer: peer.reply(99, 1)),
        "Unexpected option type 99 (<unknown>), expected 8 (structured reply)",
    ),
    "other reply": (
        answers(STRUCTURED, lambda peer: peer.reply(8, 2)),
        "Server answered option 8 (structured reply) with unexpected reply 2 (server)",
    ),
    "long ACK": (
        answers(STRUCTURED, lambda peer: peer.reply(8, 1, b"abc")),
        "Option 8 ('structured reply') response length is 3 (it should be zero)",
    ),
    "endless ACK": (
        answers(STRUCTURED, lambda peer: peer.reply(8, 1, length=2**32 - 1)),
        "Option 8 ('structured reply') response length is 4294967295 (it should be zero)",
    ),
    "odd context reply": (
        answers(CONTEXT, lambda peer: peer.reply(10, 77)),
        "Unexpected reply type 77 (<unknown>), expected 4 (meta context)",
    ),
    "long context ACK": (
        answers(CONTEXT, lambda peer: peer.reply(10, 1, b"abc")),
        "Unexpected length to ACK response",
    ),
    "other context": (
        context(ID + b"base:other"),
        "Failed to negotiate meta context 'base:allocation', server answered with different context 'base:other'",
    ),
    "context without a name": (
        context(ID),
        "Failed to negotiate meta context, server answered with unexpected length 4",
    ),
    "two contexts": (
        context(ID + b"base:allocation", ID + b"base:allocation"),
        "Server answered with more than one context",
    ),
    "odd GO reply": (
        answers(GO, lambda peer: peer.reply(7, 2)),
        "unexpected reply type 2 (server), expected 3 (info)",
    ),
    "long GO ACK": (answers(GO, lambda peer: peer.reply(7, 1, b"a")), "server sent invalid NBD_REP_ACK"),
    "no info": (infos(), "broken server omitted NBD_INFO_EXPORT"),
    "no flags at all": (infos(info(flags=0)), "broken server omitted NBD_INFO_EXPORT"),
    "short info": (infos(b"a"), "NBD_REP_INFO length 1 is too short"),
    "short export": (infos(info()[:-1]), "remaining export info len 9 is unexpected size"),
    "long block size": (infos(block_sizes(1, 1, 1) + b"x"), "remaining export info len 13 is unexpected size"),
    "minimum": (infos(info(), block_sizes(3, 4096, 1 << 25)), "server minimum block size 3 is not a power of two"),
    "preferred": (infos(info(), block_sizes(4096, 512, 1 << 25)), "server preferred block size 512 is not valid"),
    "maximum": (infos(info(), block_sizes(4096, 4096, 512)), "server maximum block size 512 is not valid"),
    "not in the list": (answers(LIST, lists), "No export with name '' available"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_is_wrong_in_one_place(name: str) -> None:
    script, expected = WRONG[name]
    with ScriptedServer(Path("sock"), script), pytest.raises(BlockError) as raised:
        shake_hands()
    assert raised.value.message == expected


@needs_qemu_img
@pytest.mark.parametrize("name", WRONG)
def test_qemu_img_says_the_same(name: str) -> None:
    script, expected = WRONG[name]
    if expected.endswith(EOF) and "version 5" in qemu_img("--version").stdout:
        pytest.skip("says it in other words before 6.0")
    with ScriptedServer(Path("sock"), script):
        done = qemu_img("info", "nbd:unix:sock")
    assert done.stderr.split("': ", 1)[1].splitlines()[0] == expected


def test_what_a_server_says_about_a_refusal_is_a_hint() -> None:
    with ScriptedServer(Path("sock"), refuses(5, b"come back with a key")), pytest.raises(BlockError) as raised:
        shake_hands()
    assert raised.value.hint == "Did you forget a valid tls-creds?\nserver reported: come back with a key"


def test_an_honest_server() -> None:
    with ScriptedServer(Path("sock"), honest) as server:
        export = shake_hands("exp")
    assert (export.size, export.flags, export.structured, export.context_id) == (SIZE, 0x8ED, True, 7)
    assert server.peers[0].options == [
        (8, b""),
        (10, b"\0\0\0\3exp" + b"\0\0\0\1" + b"\0\0\0\x0fbase:allocation"),
        (7, b"\0\0\0\3exp" + b"\0\1\0\3"),
    ]
    assert [request.command for request in server.peers[0].requests] == [2]


def test_a_largest_block_that_is_no_multiple_of_the_smallest_counts_for_less() -> None:
    with ScriptedServer(Path("sock"), infos(info(), block_sizes(4096, 4096, 10000))):
        export = shake_hands()
    assert export.block_sizes == (4096, 4096, 8192)


@pytest.mark.parametrize("padding", [124, 0])
def test_a_server_without_options(padding: int) -> None:
    def newstyle(peer: Peer) -> None:
        peer.greet(0 if padding else 2)
        assert peer.option() == (1, b"exp")
        peer.send(struct.pack(">QH", 4096, 5) + bytes(padding))
        serve(peer)

    with ScriptedServer(Path("sock"), newstyle):
        export = shake_hands("exp")
    assert (export.size, export.flags, export.structured, export.context_id) == (4096, 5, False, None)


def test_a_server_of_the_first_kind() -> None:
    def oldstyle(peer: Peer) -> None:
        peer.send(b"NBDMAGIC" + bytes.fromhex("0000420281861253") + struct.pack(">QI", 4096, 3) + bytes(124))
        serve(peer)

    with ScriptedServer(Path("sock"), oldstyle):
        assert shake_hands().size == 4096
        with pytest.raises(BlockError, match="Server does not support non-empty export names"):
            shake_hands("exp")


def test_a_server_without_structured_replies_is_not_asked_for_a_context() -> None:
    def script(peer: Peer) -> None:
        negotiate(peer, structured=False)
        serve(peer)

    with ScriptedServer(Path("sock"), script) as server:
        assert shake_hands().context_id is None
    assert [code for code, _ in server.peers[0].options] == [8, 7]
