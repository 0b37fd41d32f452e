"""Input that nobody sends on purpose: the engine answers or refuses, and lives on."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.program import ENGINE, MACHINE, Peer, connect, peer, running

DISK = ("-drive", "if=none,id=disk0,node-name=n0,driver=null-co,size=1M")
DIGITS = "9" * 5000


def ask(*messages: bytes | dict[str, Any]) -> list[dict[str, Any]]:
    """The answers to messages of a client that has negotiated; the engine still answers afterwards."""
    with disk_and_client() as client:
        replies = []
        for message in messages:
            client.send(message if isinstance(message, bytes) else json.dumps(message).encode())
            replies.append(client.reply())
        client.send(b'{"execute": "query-name"}')
        assert client.reply() == {"return": {}}
        return replies


@contextmanager
def disk_and_client() -> Iterator[Peer]:
    """The monitor of an engine with a disk, by a socket of its own: standard output is for what a guest prints."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monitor = ("-chardev", f"socket,id=m,fd={theirs.fileno()}", "-mon", "chardev=m,mode=control")
        with running(*DISK, *monitor, pass_fds=(theirs.fileno(),)):
            client = peer(ours)
            client.negotiate()
            yield client


def human(line: str) -> dict[str, Any]:
    return {"execute": "human-monitor-command", "arguments": {"command-line": line}}


def add(**options: object) -> dict[str, Any]:
    return {"execute": "blockdev-add", "arguments": options}


def test_an_id_of_any_depth_comes_back() -> None:
    deep = b"[" * 1000 + b"]" * 1000
    with disk_and_client() as client:
        client.send(b'{"execute": "query-name", "id": ' + deep + b"}")
        assert client.line() == b'{"return": {}, "id": ' + deep + b"}\r\n"


def test_nodes_nested_too_deeply_are_refused() -> None:
    layers = b'{"driver": "raw", "file": ' * 900 + b'{"driver": "null-co"}' + b"}" * 900
    arguments = b'{"driver": "raw", "node-name": "deep", "file": ' + layers + b"}"
    (reply,) = ask(b'{"execute": "blockdev-add", "arguments": ' + arguments + b"}")
    assert reply["error"] == {"class": "GenericError", "desc": "The request is nested too deeply"}


@pytest.mark.parametrize("size", ["9" * 400, DIGITS, "99999999999999999999", "1" + "0" * 25 + "t"])
def test_a_size_without_bounds_is_no_size(size: str) -> None:
    (reply,) = ask(human(f"block_resize disk0 {size}"))
    assert reply["return"].startswith("invalid size\r\n")


def test_numbers_of_qemu_io_have_bounds() -> None:
    assert ask(human(f'qemu-io disk0 "read {DIGITS} 512"')) == [{"return": ""}]


def test_an_errno_is_what_c_makes_of_it() -> None:
    """Observed on QEMU 10.0: 99999999999 is 1215752191."""
    rule = {"event": "none", "errno": 99999999999}
    replies = ask(
        add(driver="blkdebug", **{"node-name": "d", "image": "n0", "inject-error": [rule]}),
        human('qemu-io d "read 0 512"'),
    )
    assert replies == [{"return": {}}, {"return": ""}]


def test_a_disk_larger_than_memory_can_map_is_not_backed_up() -> None:
    size = 2**63 - 2**30
    *_, reply = ask(
        add(driver="null-co", size=size, **{"node-name": "a"}),
        add(driver="null-co", size=size, **{"node-name": "b"}),
        {"execute": "blockdev-backup", "arguments": {"job-id": "j", "device": "a", "target": "b", "sync": "full"}},
    )
    assert reply["error"]["desc"] == "Could not create node: Cannot allocate memory"


@pytest.mark.parametrize(
    "option",
    [
        ("-drive", f"if=none,driver=null-co,size={DIGITS}"),
        ("-drive", f"if=none,driver=null-co,index={DIGITS}"),
        ("-chardev", f"socket,id=m,fd={DIGITS}"),
        ("-chardev", "socket,id=m,fd=99999999999"),
        ("-add-fd", f"fd={DIGITS},set=1"),
        ("-blockdev", f"driver=null-co,node-name=n,a.{DIGITS}=1"),
        ("-blockdev", "driver=blkdebug,node-name=n,image.driver=null-co,inject-error.00.event=nope"),
        ("-drive", 'if=none,file=json:{"driver":{}}'),
        ("-drive", 'if=none,file=json:{"driver":"raw",,"file":5}'),
    ],
)
def test_a_bad_option_is_one_error(option: tuple[str, str]) -> None:
    command = [*ENGINE, *MACHINE, *option]
    result = subprocess.run(command, timeout=60, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    assert result.returncode == 1
    assert result.stderr.startswith(b"backcheck-engine: ")
    assert b": bug: " not in result.stderr


def test_nobody_listens_on_a_connection() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        descriptor = theirs.fileno()
        command = [*ENGINE, *MACHINE, "-chardev", f"socket,id=m,fd={descriptor},server=on,wait=off"]
        result = subprocess.run(command, timeout=60, check=False, capture_output=True, pass_fds=(descriptor,))
    assert result.returncode == 1
    assert result.stderr.endswith(b": Failed to listen on fd socket: Invalid argument\n")


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", "2>&- >&-"])
def test_closed_streams_do_no_harm(redirection: str) -> None:
    """What the engine opens must not get the descriptors of its standard streams."""
    command = " ".join(f"'{word}'" for word in (*ENGINE, *MACHINE, *DISK, "-qmp", "stdio"))
    talk = '{"execute": "qmp_capabilities"} {"execute": "quit"}'
    result = subprocess.run(
        ["sh", "-c", f"{command} {redirection}"], input=talk.encode(), timeout=60, check=False, stdout=subprocess.PIPE
    )
    assert result.returncode == 0


def test_nobody_reads_what_a_guest_prints(tmp_path: Path) -> None:
    monitor = f"unix:{tmp_path}/m,server=on,wait=off"
    with running(*DISK, "-qmp", monitor) as process:
        connection = connect(tmp_path / "m")
        client = peer(connection)
        client.negotiate()
        assert process.stdout is not None
        process.stdout.close()
        for number in range(2):
            client.send(json.dumps(human('qemu-io disk0 "read 0 512"') | {"id": number}).encode())
            assert client.reply() == {"return": "", "id": number}
        connection.close()
