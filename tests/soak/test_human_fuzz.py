"""Whatever is typed at a human monitor: each line is answered in time, and the engine lives on, and stays small.

`BACKCHECK_SEED=N` repeats the first session of a run that printed `seed N`; what a job has done by then may differ.
"""

import random
import select
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.soak.lines import Line
from tests.soak.messages import Messages
from tests.soak.test_qmp_fuzz import DRIVES, make_images
from tests.soak.watched import LONGEST_S, Watched, connected, engine

PIECES = 5_000
A_SESSION = 250
KEYS = (
    b"\x1b[A\x1b[B\x1b[C\x1b[D",
    b"\x1bOH\x1bOF\x1b[1~\x1b[3~\x1b[4~",
    b"\x01\x05\x04\x08\x7f\x17\x0b\x15\x03\x1a",
    b"\t\t",
    b"\x1b[" + b"9" * 5000 + b"~",
    b"\x1b\x1b\x1b[",
    b"\xff\xfe\x00\x80\xe9",
    b"a" * 200,
    b"\x01" + b"b" * 100,
    b"\x01\x05" * 100,
    b'"' * 20,
    b"\r\n\r\n",
    b" " * 100,
)
LONG_LINE = b"a" * 4200
"""Longer than a line can be. Each key shows the whole line again, so that these few keys make 30 MB."""


class Typist:
    """Somebody at a human monitor who reads what it says while typing."""

    def __init__(self, client: socket.socket, program: Watched) -> None:
        self._client = client
        self._program = program
        self._said = b""
        self._number = 0
        client.setblocking(False)

    def type(self, keys: bytes) -> None:
        """Type, then a line that nothing else says, until that is answered; b"" when the program has ended."""
        self._number += 1
        mark = b"mark-%d" % self._number
        # The first line may end an escape sequence only.
        keys += b"\r\r" + mark + b"\r"
        started = time.monotonic()
        while b"unknown command: '" + mark not in self._said:
            assert time.monotonic() < started + LONGEST_S
            if not keys:
                self._program.wait_readable(self._client.fileno(), repr(keys))
            readable, writable, _ = select.select([self._client], [self._client] if keys else [], [], LONGEST_S)
            if writable:
                keys = keys[self._client.send(keys) :]
            if readable:
                data = self._client.recv(1 << 20)
                if not data:
                    raise EOFError
                self._said = self._said[-100:] + data
        self._said = b""


def pieces(generator: random.Random, count: int) -> list[bytes]:
    """What is typed: lines, right or spoilt, keys, and noise."""
    messages = Messages(generator)
    typed = []
    for _ in range(count):
        chance = generator.random()
        line = messages.hmp_line().encode("utf-8", "surrogatepass")
        place = generator.randrange(len(line) + 1)
        if chance < 0.5:
            typed.append(line)
        elif chance < 0.7:
            typed.append(line[:place] + generator.choice(KEYS) + line[place:])
        elif chance < 0.9:
            typed.append(line[:place] + bytes(generator.choices(range(256), k=generator.choice([1, 5, 200]))))
        elif chance < 0.905:
            typed.append(LONG_LINE)
        else:
            typed.append(b"".join(generator.choices(KEYS, k=5)))
    return typed


@pytest.fixture(name="images", scope="module")
def _images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def play(folder: Path, seed: int) -> int:
    """One engine with one human; the most memory that it had."""
    arguments = [word for drive in DRIVES for word in drive]
    program = engine(folder, *arguments, "-monitor", "unix:h,server=on,wait=off", "-qmp", "unix:q,server=on,wait=off")
    typed = b""
    with ExitStack() as stack:
        stack.callback(program.end)
        line = Line(stack.enter_context(connected(folder, "q", program)), program)
        line.negotiate()
        typist = Typist(stack.enter_context(connected(folder, "h", program)), program)
        try:
            for typed in pieces(random.Random(seed), A_SESSION):
                peak = program.expect_modest()
                typist.type(typed)
            line.send(b'{"execute": "quit"}')
        except AssertionError as error:
            raise AssertionError(f"{error}: {typed!r}\n{program.said()}") from error
        except (EOFError, ConnectionError):
            # What is left of some line may well be `q`.
            pass
        program.expect_ended()
    return peak


def test_whatever_is_typed(images: Path, tmp_path: Path, first_seed: int, repetitions: Callable[[int], int]) -> None:
    peak = 0
    for seed in range(first_seed, first_seed + repetitions(PIECES) // A_SESSION):
        print(f"seed {seed}")
        folder = tmp_path / str(seed)
        shutil.copytree(images, folder)
        peak = max(peak, play(folder, seed))
        shutil.rmtree(folder)
    print(f"peak {peak >> 20} MiB")
