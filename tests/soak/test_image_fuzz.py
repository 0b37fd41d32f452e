"""Damaged images: tools and engine give an answer or one error, in time and with modest memory, and no traceback.

`BACKCHECK_SEED=N` repeats, from the image on that a run printed as `seed N`.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.qcow2.qemu import needs_qemu
from tests.soak import seeds_others, seeds_qcow2
from tests.soak.damage import Seed, damaged
from tests.soak.lines import Line
from tests.soak.watched import Watched, connected, engine

IMAGES = 10_000
"""Of qcow2; of all other formats together a fifth."""
PARTS = 4
"""How many processes of backcheck-img share the images, one after the other or at once."""
FOR_ONE_ENGINE = 250
STATUSES = (0, 1, 2, 3, 4, 63)
"""Of backcheck-img: fine, an error or a difference, corruption, leaks, cannot be read, nothing to check."""
COMMANDS = (
    ("info", "-f", "FORMAT", "IMAGE"),
    ("info", "--backing-chain", "--output=json", "IMAGE"),
    ("map", "IMAGE"),
    ("map", "--output=json", "IMAGE"),
    ("check", "IMAGE"),
    ("compare", "-f", "FORMAT", "IMAGE", "SEED"),
    ("check", "-q", "-r", "all", "IMAGE"),
    ("check", "-r", "leaks", "--output=json", "IMAGE"),
)
GUEST = (
    "read 0 64k",
    "read 63k 4k",
    "read 500k 512k",
    "write -P 1 0 4k",
    "write -P 1 200k 100k",
    "write -c 64k 64k",
    "write -z 0 128k",
    "write -zu 0 1M",
    "discard 0 256k",
    "alloc 0 1M",
    "map",
    "flush",
    "truncate 3M",
    "truncate 700k",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Sound images, in a folder, and how many damaged ones to make of them."""

    folder: Path
    seeds: list[Seed]
    images: int


@pytest.fixture(name="family", scope="module", params=["qcow2", "others"])
def _family(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Family:
    folder = tmp_path_factory.mktemp("seeds")
    if request.param == "qcow2":
        return Family(folder=folder, seeds=seeds_qcow2.make_seeds(folder), images=IMAGES)
    return Family(folder=folder, seeds=seeds_others.make_seeds(folder), images=IMAGES // 5)


class Tools:
    """backcheck-img in one process."""

    def __init__(self, folder: Path) -> None:
        worker = [sys.executable, "-m", "tests.soak.image_worker"]
        self.program = Watched(worker, folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, words: Sequence[str]) -> tuple[int, str]:
        """Exit status, and what it complained about."""
        process = self.program.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(words).encode() + b"\n")
        process.stdin.flush()
        self.program.wait_readable(process.stdout.fileno(), " ".join(words))
        line = process.stdout.readline()
        assert line, self.program.said()
        status, _, complaint = json.loads(line)
        return status, complaint


def folder_with_seeds(seeds: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    shutil.copytree(seeds, folder)
    return folder


@needs_qemu
@pytest.mark.parametrize("part", range(PARTS))
def test_tools(
    family: Family, tmp_path: Path, first_seed: int, part: int, repetitions: Callable[[int], int], soak: bool
) -> None:
    """In a soak all commands see each image, else one of them."""
    folder = folder_with_seeds(family.folder, tmp_path)
    image = folder / "image"
    tools = Tools(folder)
    try:
        for number in range(first_seed + part, first_seed + repetitions(family.images), PARTS):
            generator = random.Random(number)
            seed = generator.choice(family.seeds)
            content = damaged(seed, generator)
            image.write_bytes(content)
            for command in COMMANDS if soak else [generator.choice(COMMANDS)]:
                names = {"IMAGE": "image", "SEED": seed.name, "FORMAT": seed.format}
                words = [names.get(word, word) for word in command]
                status, complaint = tools.run(words)
                context = f"seed {number}, {seed.name}: {' '.join(words)}: {complaint}{tools.program.said()}"
                assert status in STATUSES, context
                assert status or not complaint.startswith("backcheck-img: Could not"), context
                assert complaint or status != 1 or command[0] in ("check", "compare"), context
        print(f"peak {tools.program.expect_modest() >> 20} MiB")
    finally:
        tools.program.end()


@needs_qemu
def test_engine(family: Family, tmp_path: Path, first_seed: int, soak: bool) -> None:
    peak = 0
    rest = list(range(first_seed, first_seed + (family.images if soak else FOR_ONE_ENGINE)))
    while rest:
        folder = folder_with_seeds(family.folder, tmp_path)
        peak = max(peak, _play(folder, family.seeds, rest[:FOR_ONE_ENGINE]))
        del rest[:FOR_ONE_ENGINE]
        shutil.rmtree(folder)
    print(f"peak {peak >> 20} MiB")


def _play(folder: Path, seeds: list[Seed], numbers: list[int]) -> int:
    """Use a number of images with one engine; the most memory that it had."""
    program = engine(folder, "-qmp", "unix:q,server=on,wait=off")
    try:
        with connected(folder, "q", program) as client:
            line = Line(client, program)
            line.negotiate()
            for number in numbers:
                generator = random.Random(number)
                seed = generator.choice(seeds)
                (folder / "image").write_bytes(damaged(seed, generator))
                try:
                    _use(line, seed.format, generator)
                except (AssertionError, OSError) as error:
                    raise AssertionError(f"seed {number}, {seed.name}: {error}\n{program.said()}") from error
            peak = program.expect_modest()
            line.send(b'{"execute": "quit"}')
            program.expect_ended()
            return peak
    finally:
        program.end()


def _use(line: Line, driver: str, generator: random.Random) -> None:
    """Add the image, let a guest and perhaps a job use it, and remove it."""
    image = {"driver": "file", "filename": "image"}
    options: dict[str, Any] = {"driver": driver, "node-name": "n", "file": image}
    if generator.random() < 0.2:
        options["read-only"] = True
    if "error" in line.ask("blockdev-add", options):
        return
    for _ in range(generator.randrange(1, 8)):
        line.ask("human-monitor-command", {"command-line": f'qemu-io n "{generator.choice(GUEST)}"'})
    line.ask("query-named-block-nodes", {})
    if generator.random() < 0.3:
        line.ask("block-dirty-bitmap-add", {"node": "n", "name": "new", "persistent": True})
    if generator.random() < 0.3:
        _back_up(line, generator)
    reply = line.ask("blockdev-del", {"node-name": "n"})
    assert reply == {"return": {}}, reply


def _back_up(line: Line, generator: random.Random) -> None:
    """Onto a new file, until it ends however it does."""
    job = {"job-id": "j", "device": "n", "target": "copy", "format": "qcow2", "sync": generator.choice(["full", "top"])}
    if "error" not in line.ask("drive-backup", job):
        line.wait_for_event("JOB_STATUS_CHANGE", status="null")
