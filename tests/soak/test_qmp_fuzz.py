"""Random and spoilt messages: each gets an answer or an error in time, and the engine lives on, and stays small.

`BACKCHECK_SEED=N` repeats the first session of a run that printed `seed N`; what a job has done by then may differ.
"""

import random
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.soak.lines import Line
from tests.soak.messages import Message, Messages
from tests.soak.watched import connected, engine

MESSAGES = 20_000
A_SESSION = 500
MONITORS = ("a", "b")
SHOWN = 12
"""How many messages of the end of a session a failure shows."""
SIZE = "1M"
DRIVES = (
    ("-object", "throttle-group,id=tg0"),
    ("-object", "iothread,id=io0"),
    ("-drive", "if=none,id=disk0,node-name=n0,file=disk0.qcow2,format=qcow2,discard=unmap"),
    ("-drive", "if=none,id=disk1,node-name=n1,file=disk1.raw,format=raw"),
    ("-drive", "if=none,id=disk2,node-name=t1,driver=null-co,size=1M"),
    ("-blockdev", "driver=null-co,node-name=null0,size=1048576,read-zeroes=on"),
    ("-blockdev", "driver=qcow2,node-name=t2,file.driver=file,file.filename=target.qcow2"),
    ("-blockdev", "driver=blkdebug,node-name=t3,image=null0,inject-error.0.event=write_aio"),
)


class Session:
    """One engine, and the messages that it gets on two monitors."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._messages = Messages(self._random)
        self._last: deque[bytes] = deque(maxlen=SHOWN)
        monitors = [word for name in MONITORS for word in ("-qmp", f"unix:{name},server=on,wait=off")]
        self.program = engine(folder, *(word for drive in DRIVES for word in drive), *monitors)
        self._folder = folder

    def play(self, count: int) -> int:
        """Exchange that many messages with each monitor; the most memory that the engine had."""
        with ExitStack() as stack:
            stack.callback(self.program.end)
            clients = [stack.enter_context(connected(self._folder, name, self.program)) for name in MONITORS]
            lines = [Line(client, self.program) for client in clients]
            for line in lines:
                line.negotiate()
            try:
                for number in range(count):
                    self._exchange(lines, number)
            except (AssertionError, OSError) as error:
                said = b"\n".join(message[:2000] for message in self._last)
                raise AssertionError(f"{error}\n{self.program.said()}\n{said!r}") from error
            peak = self.program.expect_modest()
            lines[0].send(b'\xff\n{"execute": "quit"}')
            self.program.expect_ended()
            return peak

    def _exchange(self, lines: list[Line], number: int) -> None:
        """One message to each monitor at once, in pieces; the answers of both."""
        sent = [self._messages.next(f"{number}-{name}") for name in MONITORS]
        self._last.extend(message.data for message in sent)
        for line, piece in self._pieces(lines, sent):
            line.send(piece)
        for line, message, name in zip(lines, sent, MONITORS, strict=True):
            if not message.is_whole:
                line.send(b"\xff\n")
            replies = line.replies()
            line.events.clear()
            if message.is_whole and not _is_no_json(replies):
                assert [reply.get("id") for reply in replies] == [f"{number}-{name}"], (message, replies)
            assert replies or not message.data.strip(), message
            assert all("return" in reply or "error" in reply for reply in replies), replies

    def _pieces(self, lines: list[Line], sent: list[Message]) -> Iterator[tuple[Line, bytes]]:
        """Each message in one to three pieces, in turn."""
        cut = [sorted(self._random.randrange(len(message.data) + 1) for _ in range(2)) for message in sent]
        for part in range(3):
            for line, message, (first, second) in zip(lines, sent, cut, strict=True):
                start, end = ((0, first), (first, second), (second, len(message.data)))[part]
                if end > start:
                    yield line, message.data[start:end]


def _is_no_json(replies: list[dict[str, Any]]) -> bool:
    """Whether half a surrogate pair, a deep nesting or the like made it no message for the parser."""
    return bool(replies) and replies[0].get("error", {}).get("desc", "").startswith("JSON ")


def make_images(folder: Path) -> Path:
    """The images of a session; their folder."""
    for name in ("disk0.qcow2", "target.qcow2"):
        create = ["-m", "backcheck_engine.tools.img", "create", "-q", "-f", "qcow2", str(folder / name), SIZE]
        subprocess.run([sys.executable, *create], check=True, timeout=60)
    (folder / "disk1.raw").write_bytes(b"\x11" * (1 << 20))
    return folder


@pytest.fixture(name="images", scope="module")
def _images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def test_every_message_is_answered(
    images: Path, tmp_path: Path, first_seed: int, repetitions: Callable[[int], int]
) -> None:
    peak = 0
    for seed in range(first_seed, first_seed + repetitions(MESSAGES) // A_SESSION):
        print(f"seed {seed}")
        folder = tmp_path / str(seed)
        shutil.copytree(images, folder)
        peak = max(peak, Session(folder, seed).play(A_SESSION // len(MONITORS)))
        shutil.rmtree(folder)
    print(f"peak {peak >> 20} MiB")
