"""Clients that come, go, misbehave and wait: what happens to one must not harm the others."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.monitor.program import DEADLINE_S, ENGINE, MACHINE, Peer, connect, peer, real_program, running

MiB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path is short enough for a socket's address."""
    assert len(str(tmp_path)) < 90
    return tmp_path


def test_stream_needs_no_lines(folder: Path) -> None:
    with running("-qmp", "stdio") as process:
        client = Peer.of_process(process)
        greeting = client.negotiate("oob")
        assert greeting["QMP"]["version"]["qemu"] == {"major": 10, "minor": 0, "micro": 0}
        assert greeting["QMP"]["capabilities"] == ["oob"]
        for byte in b'{"execute": "query-name", "id": 1}':
            client.send(bytes([byte]))
        assert client.reply() == {"return": {}, "id": 1}
        client.send(b'{"execute": "query-name", "id": 2}{"execute": "query-name", "id": 3}')
        assert [client.reply()["id"], client.reply()["id"]] == [2, 3]


def test_a_reply_is_one_line_with_crlf() -> None:
    with running("-qmp", "stdio") as process:
        client = Peer.of_process(process)
        assert client.line().endswith(b"}\r\n")


def test_pretty() -> None:
    with running("-qmp-pretty", "stdio") as process:
        client = Peer.of_process(process)
        lines = [client.line()]
        while lines[-1] != b"}\r\n":
            lines.append(client.line())
        assert lines[0] == b"{\r\n"
        assert lines[1] == b'    "QMP": {\r\n'
        assert json.loads(b"".join(lines))["QMP"]["capabilities"] == ["oob"]


def test_events_reach_all_monitors_that_have_negotiated(folder: Path) -> None:
    options = [f"-qmp=unix:{folder}/{name},server=on,wait=off".split("=", 1) for name in "abc"]
    with running(*(word for option in options for word in option)):
        clients = [connect(folder / name) for name in "abc"]
        first, second, third = (peer(client) for client in clients)
        first.negotiate()
        second.negotiate()
        assert first.execute("cont") == {"return": {}}
        assert [event["event"] for event in first.events] == ["RESUME"]
        event = second.message()
        assert event["event"] == "RESUME"
        assert set(event["timestamp"]) == {"seconds", "microseconds"}
        third.negotiate()
        assert third.execute("query-status")["return"]["status"] == "running"
        assert not third.events
        for client in clients:
            client.close()


def test_the_next_client_waits_for_its_greeting(folder: Path) -> None:
    with running("-qmp", f"unix:{folder}/q,server=on,wait=off"):
        first = connect(folder / "q")
        peer(first).negotiate()
        second = connect(folder / "q")
        second.setblocking(False)
        assert peer(first).execute("query-name") == {"return": {}}
        with pytest.raises(BlockingIOError):
            second.recv(1)
        second.setblocking(True)
        first.close()
        peer(second).negotiate()
        second.close()


def test_a_new_client_negotiates_anew(folder: Path) -> None:
    with running("-qmp", f"unix:{folder}/q,server=on,wait=off"):
        for _ in range(3):
            client = connect(folder / "q")
            peer(client).negotiate()
            client.close()
        last = peer(connection := connect(folder / "q"))
        assert "QMP" in last.message()
        assert last.execute("query-name")["error"]["class"] == "CommandNotFound"
        connection.close()


def test_a_client_that_vanishes_in_the_middle_of_a_command(folder: Path) -> None:
    with running("-qmp", f"unix:{folder}/q,server=on,wait=off", "-qmp", "stdio") as process:
        watching = Peer.of_process(process)
        watching.negotiate()
        leaving = connect(folder / "q")
        peer(leaving).negotiate("oob")
        leaving.sendall(b'{"execute": "stop"}' + b'{"execute": "query-qmp-schema"}' * 5 + b'{"execute": ')
        leaving.close()
        assert watching.execute("query-name") == {"return": {}}
        again = connect(folder / "q")
        peer(again).negotiate()
        assert peer(again).execute("query-status")["return"]["status"] == "prelaunch"
        again.close()
        assert process.poll() is None


def test_a_client_that_never_reads_blocks_nobody(folder: Path) -> None:
    options = ("-qmp", f"unix:{folder}/q,server=on,wait=off", "-qmp", "stdio")
    with running(*options) as process, contextlib.ExitStack() as stack:
        deaf = stack.enter_context(connect(folder / "q"))
        peer(deaf).negotiate("oob")
        deaf.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 4 * MiB:
                sent += deaf.send(b'{"execute": "query-qmp-schema"}' * 1000)
        listening = Peer.of_process(process)
        listening.negotiate()
        for _ in range(20):
            assert listening.execute("query-name") == {"return": {}}
        assert sent < 4 * MiB, "the engine has taken all that the client sent, although it reads nothing"
        listening.send(b'{"execute": "quit"}')
        assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("length", [63 * MiB, 64 * MiB])
def test_messages_of_64_mib(length: int) -> None:
    with running("-qmp", "stdio") as process:
        client = Peer.of_process(process)
        client.negotiate()
        client.send(b'{"execute": "query-name", "arguments": {"x": "' + b"x" * length)
        if length < 64 * MiB:
            client.send(b'"}}')
            assert client.reply()["error"]["desc"] == "Parameter 'x' is unexpected"
        else:
            assert client.reply()["error"]["desc"] == "JSON token size limit exceeded"
            client.send(b'"\xff\n')
            client.send(b'{"execute": "query-name", "id": 2}')
            while client.reply().get("id") != 2:
                pass


def test_exec_oob_only_when_enabled() -> None:
    with running("-qmp", "stdio") as process:
        client = Peer.of_process(process)
        client.negotiate()
        client.send(b'{"exec-oob": "query-name"}')
        assert client.reply()["error"]["desc"] == "QMP input member 'exec-oob' is unexpected"


def test_end_of_input_answers_what_was_asked() -> None:
    """A script that pipes commands in gets all replies, also when it has nothing more to say."""
    done = subprocess.run(
        [*ENGINE, "-machine", "none", "-S", "-qmp", "stdio"],
        input=b'{"execute": "qmp_capabilities"}' + b'{"execute": "query-qmp-schema"}' * 3 + b'{"execute": "quit"}',
        capture_output=True,
        check=True,
        timeout=60,
    )
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(isinstance(reply.get("return"), list) for reply in replies) == 3


@pytest.mark.parametrize("program", ["engine", "qemu"])
def test_who_cannot_be_answered_is_still_obeyed(program: str) -> None:
    argv = ENGINE if program == "engine" else (real_program("7.2"),)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*argv, *MACHINE, "-qmp", "stdio"],
            input=b'{"execute": "qmp_capabilities"}{"execute": "quit"}',
            stdout=full,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_shut_down(number: signal.Signals) -> None:
    with running("-qmp", "stdio") as process:
        client = Peer.of_process(process)
        client.negotiate()
        process.send_signal(number)
        event = client.message()
        assert (event["event"], event["data"]) == ("SHUTDOWN", {"guest": False, "reason": "host-signal"})
        assert process.wait(DEADLINE_S) == 0


def test_several_monitors_take_turns(folder: Path) -> None:
    """Commands of all monitors run one at a time; none waits for another's whole queue."""
    with running("-qmp", f"unix:{folder}/q,server=on,wait=off", "-qmp", "stdio") as process:
        busy = connect(folder / "q")
        peer(busy).negotiate("oob")
        busy.sendall(b'{"execute": "query-qmp-schema"}' * 50)
        other = Peer.of_process(process)
        other.negotiate()
        assert other.execute("query-name") == {"return": {}}
        assert all(isinstance(peer_.reply()["return"], list) for peer_ in [peer(busy)])
        busy.close()


def test_inherited_sockets() -> None:
    """`fd=N`, as client: a socket pair whose other end the client holds."""
    ours, theirs = socket.socketpair()
    descriptor = os.dup(theirs.fileno())
    theirs.close()
    options = ("-chardev", f"socket,id=mon,fd={descriptor}", "-mon", "chardev=mon,mode=control")
    with running(*options, pass_fds=(descriptor,)):
        os.close(descriptor)
        peer(ours).negotiate()
        assert peer(ours).execute("query-name") == {"return": {}}
    ours.close()


def test_inherited_listening_socket(folder: Path) -> None:
    """`fd=N,server=on`: the client connects to a socket that somebody else made."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "q"))
    listener.listen(1)
    number = listener.fileno()
    options = ("-chardev", f"socket,id=mon,fd={number},server=on,wait=off", "-mon", "chardev=mon,mode=control")
    with running(*options, pass_fds=(number,)):
        client = connect(folder / "q")
        peer(client).negotiate()
        client.close()
    listener.close()


def test_engine_as_socket_client(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "q"))
        listener.listen(1)
        with running("-qmp", f"unix:{folder}/q"):
            client, _ = listener.accept()
            peer(client).negotiate()
            client.close()


def test_tcp() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running("-qmp", f"tcp:127.0.0.1:{port},server=on,wait=off", "-qmp", "stdio") as process:
        Peer.of_process(process).negotiate()
        with socket.create_connection(("127.0.0.1", port)) as client:
            peer(client).negotiate()
