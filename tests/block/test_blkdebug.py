"""blkdebug: injected errors, states and breakpoints, with the rules that a real qemu-io obeys."""

import asyncio
import errno
import re
from pathlib import Path

import pytest

from backcheck_engine.block.debugging import Debugger, find_debugger
from backcheck_engine.block.driver_table import driver_class
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.drivers.filter.blkdebug_rules import EVENTS
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.json_value import JsonObject, JsonValue
from tests.block.loop import run
from tests.block.memory import memory_drivers
from tests.block.programs import needs_qemu, qemu_io


async def open_disk(**options: JsonValue) -> Node:
    """raw over blkdebug over memory."""
    debug: JsonObject = {"driver": "blkdebug", "image": {"driver": "memory", "align": 512}, **options}
    return await open_node(Graph(), {"driver": "raw", "discard": "unmap", "file": debug})


def debugger_of(node: Node) -> Debugger:
    debugger = find_debugger(node)
    assert debugger is not None
    return debugger


async def outcome(node: Node, act: str) -> str:
    """ "ok", or the error's text."""
    acts = {
        "read": lambda: node.pread(512, 512),
        "write": lambda: node.pwrite(512, bytes(512)),
        "zero": lambda: node.pwrite_zeroes(0, 4096),
        "discard": lambda: node.discard(0, 4096),
        "flush": node.file.flush,
        "status": lambda: node.block_status(0, 512),
        "unaligned": lambda: node.pwrite(1, b"x"),
    }
    try:
        await acts[act]()
    except BlockError as error:
        return error.message
    return "ok"


IO_ERROR, NO_SPACE = "Input/output error", "No space left on device"

STORIES: list[tuple[list[JsonValue], list[tuple[str, str]]]] = [
    ([{"event": "read_aio"}], [("write", "ok"), ("read", IO_ERROR), ("read", IO_ERROR), ("write", IO_ERROR)]),
    ([{"event": "read_aio", "once": True}], [("read", IO_ERROR), ("read", "ok")]),
    ([{"event": "read_aio", "errno": 28, "immediately": True}], [("read", NO_SPACE)]),
    ([{"event": "write_aio", "sector": 1}], [("write", IO_ERROR), ("read", IO_ERROR), ("zero", IO_ERROR)]),
    ([{"event": "write_aio", "sector": 2}], [("write", "ok")]),
    ([{"event": "none", "iotype": "read"}], [("write", "ok"), ("read", IO_ERROR), ("zero", "ok")]),
    ([{"event": "none", "iotype": "write-zeroes"}], [("write", "ok"), ("zero", IO_ERROR)]),
    ([{"event": "none", "iotype": "discard"}], [("discard", IO_ERROR), ("write", "ok")]),
    ([{"event": "none", "iotype": "block-status"}], [("status", IO_ERROR), ("read", "ok")]),
    ([{"event": "none"}], [("status", "ok"), ("read", IO_ERROR)]),
    ([{"event": "none", "iotype": "flush", "errno": 28}], [("write", "ok"), ("flush", NO_SPACE)]),
    ([{"event": "pwritev_rmw_head"}], [("write", "ok"), ("unaligned", "ok")]),
    (
        [{"event": "read_aio", "errno": 5, "sector": 7}, {"event": "write_aio", "errno": 28}],
        [("read", "ok"), ("write", NO_SPACE), ("read", "ok"), ("write", NO_SPACE)],
    ),
]


@pytest.mark.parametrize(("rules", "story"), STORIES)
def test_errors_are_injected_by_the_rules(rules: list[JsonValue], story: list[tuple[str, str]]) -> None:
    async def play() -> list[tuple[str, str]]:
        node = await open_disk(**{"inject-error": rules})
        seen = [(act, await outcome(node, act)) for act, _ in story]
        await node.unref()
        return seen

    with memory_drivers():
        assert run(play()) == story


def test_states_choose_rules() -> None:
    async def play() -> list[str]:
        node = await open_disk(
            **{
                "set-state": [{"event": "write_aio", "state": 1, "new_state": 2}],
                "inject-error": [{"event": "read_aio", "state": 2}],
            }
        )
        seen = [await outcome(node, act) for act in ("read", "write", "read")]
        await node.unref()
        return seen

    with memory_drivers():
        assert run(play()) == ["ok", "ok", IO_ERROR]


def test_a_breakpoint_holds_one_request(capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> None:
        node = await open_disk()
        debugger = debugger_of(node)
        debugger.breakpoint("write_aio", "A")
        assert not debugger.is_suspended("A")
        held = asyncio.create_task(node.pwrite(0, b"held"))
        await debugger.wait_until_suspended("A")
        assert debugger.is_suspended("A")
        assert node.in_flight == 1
        await node.pwrite(1024, b"goes on")
        assert await node.pread(0, 4) == bytes(4)
        debugger.resume("A")
        await held
        assert await node.pread(0, 4) == b"held"
        await node.unref()

    with memory_drivers():
        run(play())
    assert capsys.readouterr().out == "blkdebug: Suspended request 'A'\nblkdebug: Resuming request 'A'\n"


def test_breakpoints_that_are_not_there() -> None:
    async def play() -> list[int]:
        node = await open_disk()
        debugger = debugger_of(node)
        errors = []
        for act in (
            lambda: debugger.breakpoint("nosuch", "A"),
            lambda: debugger.resume("A"),
            lambda: debugger.remove_breakpoint("A"),
        ):
            with pytest.raises(BlockError) as caught:
                act()
            errors.append(caught.value.errno)
        debugger.breakpoint("read_aio", "A")
        debugger.remove_breakpoint("A")
        await node.pread(0, 1)
        await node.unref()
        return errors

    with memory_drivers():
        assert run(play()) == [errno.ENOENT] * 3


def test_a_node_without_blkdebug_has_no_debugger() -> None:
    async def play() -> None:
        node = await open_node(Graph(), {"driver": "memory"})
        assert find_debugger(node) is None
        assert not node.wants_debug_events
        await node.debug_event("read_aio")
        await node.unref()

    with memory_drivers():
        run(play())


def test_permissions_are_taken_and_unshared() -> None:
    async def play() -> tuple[Permission, Permission]:
        node = await open_disk(**{"take-child-perms": ["write", "resize"], "unshare-child-perms": ["write"]})
        child = node.file.children["image"]
        permissions = child.permissions, child.shared
        await node.unref()
        return permissions

    with memory_drivers():
        needed, shared = run(play())
    assert needed == Permission.WRITE | Permission.RESIZE
    assert shared == Permission.ALL & ~Permission.WRITE


def test_limits_are_those_that_were_asked_for() -> None:
    async def play() -> tuple[int, int, int]:
        node = await open_disk(**{"align": "4k", "max-transfer": "8k", "opt-write-zero": 4096})
        limits = node.file.limits
        await node.unref()
        return limits.request_alignment, limits.max_transfer, limits.pwrite_zeroes_alignment

    with memory_drivers():
        assert run(play()) == (4096, 8192, 4096)


CONFIGURATIONS = [
    '[inject-error]\nevent = "read_aio"\n',
    '[inject-error]\nevent = "read_aio"\nerrno = "28"\nimmediately = "on"\n',
    '[inject-error "name"]\n\tevent   =   "read_aio" and the rest is not read\n\n# a comment\n',
    '[inject-error]\nevent = "write_aio"\n',
    '[inject-error]\nevent = "none"\nsector = "0"\n',
    '[inject-error]\nevent = "none"\nsector = "1"\n',
    '[set-state]\nevent = "read_aio"\nnew_state = "2"\n[inject-error]\nevent = "read_aio"\nstate = "2"\n',
    '[inject-error]\nevent = "nosuch"\n',
    '[inject-error]\nerrno = "5"\n',
    '[nosuch]\nevent = "read_aio"\n',
    'event = "read_aio"\n',
    "garbage\n",
    '[inject-error]\nevent = "read_aio"\nerrno = "x"\n',
    '[inject-error]\nevent = "read_aio"\nfoo = "x"\n',
    '[inject-error]\nevent = "read_aio"\niotype = "x"\n',
    '[inject-error]\nevent = "read_aio"\nonce = "maybe"\n',
    '[inject-error]\nevent = "read_aio"\nonce="on"\n',
    "[inject-error]\nevent = read_aio\n",
    '[inject-error]\nevent = ""\n',
    "[inject-error]\n# nothing\n",
]


@needs_qemu
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_configurations_mean_what_they_mean_to_qemu(
    configuration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("image").write_bytes(bytes(4096))
    Path("rules").write_text(configuration)
    name = "blkdebug:rules:image"
    answer = qemu_io("-f", "raw", "-c", "read 0 512", name)
    match = re.search(rf"can't open device {name}: (.*)|read failed: (.*)", answer.stdout + answer.stderr)
    expected = "ok" if match is None else match[1] or match[2]

    async def play() -> str:
        try:
            node = await open_node(Graph(), {"driver": "raw"}, filename=name)
        except EngineError as error:
            return error.message.rstrip()
        try:
            await node.pread(0, 512)
        except BlockError as error:
            return error.message
        finally:
            await node.unref()
        return "ok"

    assert run(play()) == expected.rstrip()


def test_the_events_are_those_of_qapi() -> None:
    """Every event that the request path reports is one that a client can name."""
    assert driver_class("blkdebug") is not None
    source = Path(driver_class.__code__.co_filename).parents[1]
    reported = {
        event
        for path in source.rglob("*.py")
        for event in re.findall(r'(?:debug_event|_report|fire)\(\s*"([a-z0-9_]+)"', path.read_text())
    }
    assert reported
    assert reported <= EVENTS
