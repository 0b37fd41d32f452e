"""Clients that say a lot and read nothing: the engine serves the others, and its memory has a bound."""

import json
import select
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.soak.lines import Line
from tests.soak.watched import LONGEST_S, Watched, connected, engine

MiB = 1 << 20
MOST_KEPT = 60 * MiB
"""More than an engine takes that keeps a little for each client, and less than what these say."""
LONG_ID = "j" * (256 << 10)
JOBS = 36
"""Each makes six events, which hold its id."""


def say_as_much_as_it_takes(client: socket.socket, data: bytes, most: int, line: Line) -> int:
    """How much of `data`, again and again, an engine takes before it stops reading, at most that many bytes."""
    client.setblocking(False)
    sent = 0
    while sent < most:
        if not select.select([], [client], [], 0)[1]:
            # It has had its turn when it has answered somebody else twice.
            for _ in range(2):
                line.ask("query-name", {})
            if not select.select([], [client], [], 0)[1]:
                break
        sent += client.send(data)
    return sent


def with_deaf_client(stack: ExitStack, folder: Path, *monitor: str) -> tuple[Watched, socket.socket, Line]:
    """An engine, a client of that monitor, and another that listens."""
    program = engine(folder, *monitor, "-qmp", "unix:q,server=on,wait=off")
    stack.callback(program.end)
    deaf = stack.enter_context(connected(folder, "deaf", program))
    line = Line(stack.enter_context(connected(folder, "q", program)), program)
    line.negotiate()
    return program, deaf, line


def end(program: Watched, line: Line) -> None:
    line.send(b'{"execute": "quit"}')
    program.expect_ended()


@pytest.mark.parametrize(
    "said",
    [
        b'{"execute": "query-qmp-schema"}' * 100,
        b"\xff" * 10_000,
        b'{"exec-oob": "query-name"}' * 1000,
        b'{"execute": "query-name", "id": "' + b"x" * MiB + b'"}',
    ],
    ids=["commands", "garbage", "out-of-band", "long"],
)
def test_who_reads_no_replies_is_not_read(said: bytes, tmp_path: Path) -> None:
    with ExitStack() as stack:
        program, deaf, line = with_deaf_client(stack, tmp_path, "-qmp", "unix:deaf,server=on,wait=off")
        Line(deaf, program).negotiate()
        assert say_as_much_as_it_takes(deaf, said, 64 * MiB, line) < 64 * MiB
        assert program.peak_memory < MOST_KEPT
        end(program, line)


def test_who_reads_no_events_is_let_go(tmp_path: Path) -> None:
    with ExitStack() as stack:
        program, deaf, line = with_deaf_client(stack, tmp_path, "-qmp", "unix:deaf,server=on,wait=off")
        Line(deaf, program).negotiate()
        options = {"driver": "file", "filename": "new", "size": 512}
        for _ in range(JOBS):
            assert line.ask("blockdev-create", {"job-id": LONG_ID, "options": options}) == {"return": {}}
            line.wait_for_event("JOB_STATUS_CHANGE", status="concluded")
            assert line.ask("job-dismiss", {"id": LONG_ID}) == {"return": {}}
            line.events.clear()
        assert program.peak_memory < MOST_KEPT
        deaf.settimeout(LONGEST_S)
        while deaf.recv(MiB):
            pass
        with connected(tmp_path, "deaf", program) as next_client:
            Line(next_client, program).negotiate()
        end(program, line)


@pytest.mark.parametrize(
    "typed", [b"help\n" * 1000, b"a" * 4000 + b"\x01\x05" * 2000, b"x\t" * 5000], ids=["lines", "keys", "tabs"]
)
def test_who_reads_no_echo_is_not_read(typed: bytes, tmp_path: Path) -> None:
    with ExitStack() as stack:
        program, deaf, line = with_deaf_client(stack, tmp_path, "-monitor", "unix:deaf,server=on,wait=off")
        assert say_as_much_as_it_takes(deaf, typed, 16 * MiB, line) < 16 * MiB
        assert program.peak_memory < MOST_KEPT
        end(program, line)


def test_one_who_listens_late_gets_everything(tmp_path: Path) -> None:
    """Replies and echoes wait; the reader of them finds all, in order."""
    with ExitStack() as stack:
        program, deaf, line = with_deaf_client(stack, tmp_path, "-qmp", "unix:deaf,server=on,wait=off")
        late = Line(deaf, program)
        late.negotiate()
        for number in range(50):
            deaf.sendall(json.dumps({"execute": "query-qmp-schema", "id": number}).encode())
        for _ in range(5):
            line.ask("query-name", {})
        assert [reply["id"] for reply in late.replies()] == list(range(50))
        end(program, line)
