"""Many clients, many monitors, many jobs: all are served, whatever the others do."""

import random
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.soak.lines import Line
from tests.soak.watched import Watched, connected, engine

CLIENTS = 200
MONITORS = 50
JOBS = 100
SIZE = 1 << 20


@contextmanager
def served(folder: Path, monitors: Sequence[str], *arguments: str) -> Iterator[tuple[Watched, list[Line]]]:
    """An engine and a client on each of its monitors, greeted."""
    options = [word for name in monitors for word in ("-qmp", f"unix:{name},server=on,wait=off")]
    program = engine(folder, *arguments, *options)
    with ExitStack() as stack:
        stack.callback(program.end)
        clients = [stack.enter_context(connected(folder, name, program)) for name in monitors]
        lines = [Line(client, program) for client in clients]
        for line in lines:
            line.negotiate()
        yield program, lines
        program.expect_modest()
        lines[0].send(b'{"execute": "quit"}')
        program.expect_ended()


def _take_turn(folder: Path, program: Watched, manners: str) -> None:
    """One client, from its connection to its end; some leave early."""
    with connected(folder, "queue", program) as client:
        if manners == "leaves":
            return
        line = Line(client, program)
        if manners == "garbage":
            client.sendall(b'\xff\x00{"execute": [' * 20)
            return
        line.negotiate()
        if manners == "half":
            client.sendall(b'{"execute": "query-block"}' * 20 + b'{"exec')
            return
        assert line.ask("query-name", {}) == {"return": {}}


def test_clients_queue_on_one_monitor(tmp_path: Path) -> None:
    """Each gets its turn when the one before has gone, however it went."""
    generator = random.Random(1)
    manners = [generator.choice(["polite", "polite", "leaves", "garbage", "half"]) for _ in range(CLIENTS)]
    with (
        served(tmp_path, ["q"], "-qmp", "unix:queue,server=on,wait=off") as (program, _),
        ThreadPoolExecutor(CLIENTS) as threads,
    ):
        turns = [threads.submit(_take_turn, tmp_path, program, each) for each in manners]
        for turn in turns:
            turn.result(60)


def test_monitors_are_served_at_once(tmp_path: Path) -> None:
    """Each client gets all its answers, in order, and each event."""
    rounds = 20
    with served(tmp_path, [f"q{number}" for number in range(MONITORS)]) as (_, lines):
        for number in range(rounds):
            for line in lines:
                line.send(f'{{"execute": "query-status", "id": {number}}}'.encode())
        lines[0].send(b'{"execute": "system_powerdown"}')
        for line in lines:
            replies = line.replies()
            assert [reply["id"] for reply in replies if "id" in reply] == list(range(rounds))
        for line in lines:
            line.replies()
            assert [event["event"] for event in line.events] == ["POWERDOWN"]


@pytest.mark.parametrize("together", [False, True], ids=["commands", "transaction"])
def test_jobs_on_as_many_drives(together: bool, tmp_path: Path) -> None:
    drives = []
    for number in range(JOBS):
        (tmp_path / f"disk{number}").write_bytes(bytes([number + 1]) * SIZE)
        drives += ["-drive", f"if=none,id=disk{number},file=disk{number},format=raw"]
    backups = [
        {"job-id": f"job{n}", "device": f"disk{n}", "target": f"target{n}", "sync": "full", "format": "raw"}
        for n in range(JOBS)
    ]
    with served(tmp_path, ["q"], *drives) as (_, (line,)):
        if together:
            actions = [{"type": "drive-backup", "data": backup} for backup in backups]
            reply = line.ask("transaction", {"actions": actions, "properties": {"completion-mode": "grouped"}})
            assert reply == {"return": {}}
        else:
            for backup in backups:
                assert line.ask("drive-backup", backup) == {"return": {}}
        assert len(line.ask("query-jobs", {})["return"]) <= JOBS
        while sum(event["event"] == "BLOCK_JOB_COMPLETED" for event in line.events) < JOBS:
            line.events.append(line.message())
        assert line.ask("query-jobs", {}) == {"return": []}
    for number in range(JOBS):
        assert (tmp_path / f"target{number}").read_bytes() == bytes([number + 1]) * SIZE


def test_a_crowd_leaves_at_once(tmp_path: Path) -> None:
    """All clients but one go in the middle of their commands."""
    names = [f"q{number}" for number in range(MONITORS)]
    with served(tmp_path, names) as (program, lines):
        for line in lines[1:]:
            line.send(b'{"execute": "query-qmp-schema"}' * 3 + b'{"exec')
            line.client.shutdown(socket.SHUT_RDWR)
            line.client.close()
        assert lines[0].ask("query-name", {}) == {"return": {}}
        for name in names[1:]:
            with connected(tmp_path, name, program) as client:
                Line(client, program).negotiate()
