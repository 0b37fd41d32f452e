"""A server that goes: what becomes of requests, when it comes back and when it does not."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from backcheck_engine.address import UnixAddress
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd import client as client_module
from backcheck_engine.nbd.client import NbdClient
from backcheck_engine.nbd.client_request import ClientRequest
from backcheck_engine.nbd.constants import Command
from backcheck_engine.nbd.handshake import Wanted
from tests.block.loop import run
from tests.nbd.scripted_server import Peer, ScriptedServer, answer, honest, negotiate

SOON_S = 0.05
LATER_S = 60


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(client_module, "_LONGEST_PAUSE_S", 0.01)


def with_client(work: Callable[[NbdClient], Awaitable[None]], *, delay_s: float = 0) -> None:
    async def do() -> None:
        client = NbdClient(UnixAddress("sock"), Wanted(), reconnect_delay_s=delay_s)
        await client.open()
        try:
            await work(client)
        finally:
            await client.close()

    run(do())


async def write(client: NbdClient, offset: int = 0) -> int:
    """The errno of a write, 0 when it was done."""
    try:
        return (await client.perform(ClientRequest(Command.WRITE, offset, 512, data=bytes(512)))).error
    except BlockError as error:
        return error.errno


def goes_after(requests: int) -> Callable[[Peer], None]:
    """A server that goes with that request unanswered."""

    def script(peer: Peer) -> None:
        negotiate(peer)
        for _ in range(requests):
            answer(peer, peer.request())
        peer.request()

    return script


def offsets(peer: Peer) -> list[int]:
    return [request.offset for request in peer.requests if request.command == Command.WRITE]


def test_a_lost_request_is_done_again_by_the_server_that_comes_back() -> None:
    async def work(client: NbdClient) -> None:
        for offset in (0, 512, 1024):
            assert await write(client, offset) == 0

    with ScriptedServer(Path("sock"), goes_after(1), lambda peer: None, honest) as server:
        with_client(work, delay_s=LATER_S)
    assert [offsets(peer) for peer in server.peers] == [[0, 512], [], [512, 1024]]


def test_all_requests_in_flight_are_done_again() -> None:
    def script(peer: Peer) -> None:
        negotiate(peer)
        for _ in range(5):
            peer.request()

    async def work(client: NbdClient) -> None:
        assert await asyncio.gather(*(write(client, 512 * at) for at in range(5))) == [0] * 5

    with ScriptedServer(Path("sock"), script, honest) as server:
        with_client(work, delay_s=LATER_S)
    assert sorted(offsets(server.peers[1])) == [512 * at for at in range(5)]


def test_without_a_delay_requests_fail_until_there_is_a_server_again() -> None:
    async def work(client: NbdClient) -> None:
        assert await write(client) == errno.EIO
        while await write(client) == errno.EIO:  # noqa: ASYNC110 - each request looks whether there is a server
            await asyncio.sleep(0)

    with ScriptedServer(Path("sock"), goes_after(0), honest) as server:
        with_client(work)
    assert len(server.peers) == 2


def test_when_the_delay_is_over_requests_fail() -> None:
    async def work(client: NbdClient) -> None:
        os.unlink("sock")
        assert await asyncio.gather(write(client), write(client)) == [errno.EIO, errno.EIO]
        assert await write(client) == errno.EIO

    with ScriptedServer(Path("sock"), goes_after(0)):
        with_client(work, delay_s=SOON_S)


def test_a_server_that_only_comes_back_to_go_does_not_make_the_delay_longer() -> None:
    async def work(client: NbdClient) -> None:
        assert await write(client) == errno.EIO

    with ScriptedServer(Path("sock"), goes_after(0)):
        with_client(work, delay_s=SOON_S)


def test_who_waits_can_be_told_to_stop() -> None:
    async def work(client: NbdClient) -> None:
        os.unlink("sock")
        waiting = asyncio.create_task(write(client))
        while not client.stop_waiting():  # noqa: ASYNC110 - there is nothing that says when a client waits
            await asyncio.sleep(0)
        assert await waiting == errno.EIO
        assert not client.stop_waiting()

    with ScriptedServer(Path("sock"), goes_after(0)):
        with_client(work, delay_s=LATER_S)


def test_a_client_that_is_closed_lets_those_who_wait_go() -> None:
    async def work(client: NbdClient) -> None:
        os.unlink("sock")
        waiting = asyncio.create_task(write(client))
        await asyncio.sleep(0)
        await client.close()
        assert await waiting == errno.EIO

    with ScriptedServer(Path("sock"), goes_after(0)):
        with_client(work, delay_s=LATER_S)


def test_opening_waits_for_a_server() -> None:
    async def do() -> None:
        client = NbdClient(UnixAddress("sock"), Wanted())
        opening = asyncio.create_task(client.open(LATER_S))
        await asyncio.sleep(0)
        with ScriptedServer(Path("sock"), lambda peer: None, honest):
            await opening
            assert await write(client) == 0
            await client.close()

    run(do())


@pytest.mark.parametrize("is_there", [False, True])
def test_opening_does_not_wait_longer_than_it_may(is_there: bool) -> None:
    """Neither for a server that is not there nor for one that says nothing."""

    async def do() -> None:
        with pytest.raises(BlockError) as raised:
            await NbdClient(UnixAddress("sock"), Wanted()).open(SOON_S)
        expected = "Connection attempt cancelled by other operation" if is_there else "Failed to connect to 'sock'"
        assert raised.value.message.startswith(expected)

    if is_there:
        with ScriptedServer(Path("sock"), lambda peer: peer.greet()):
            run(do())
    else:
        run(do())
