"""Checks and repairs, against what qemu-img finds and puts right in the same damaged image."""

import json
import random
import struct
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.image_upkeep import CheckResult, Repair
from backcheck_engine.block.opening import open_node
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject
from tests.qcow2.qemu import needs_qemu, qemu_img, qemu_io, run, tool

CLUSTER = 65536
COPIED = 1 << 63
Damage = Callable[[bytearray], None]

HEADER, REFCOUNT_TABLE, REFCOUNT_BLOCK, L1, L2, DATA = (number * CLUSTER for number in range(6))
SUMMARY = ("No errors were found", "errors were found", "leaked clusters", "image end offset", "Image end offset")


def _word(offset: int, value: int) -> Damage:
    def damage(image: bytearray) -> None:
        struct.pack_into(">Q", image, offset, value)

    return damage


def _refcount(cluster: int, value: int) -> Damage:
    def damage(image: bytearray) -> None:
        struct.pack_into(">H", image, REFCOUNT_BLOCK + 2 * cluster, value)

    return damage


DAMAGES: dict[str, Damage] = {
    "nothing": lambda image: None,
    "leak": _refcount(20, 1),
    "refcount too high": _refcount(6, 3),
    "refcount zero": _refcount(6, 0),
    "refcount of the L2 table zero": _refcount(4, 0),
    "copied flag missing": _word(L2, DATA),
    "copied flag of the L2 table missing": _word(L1, L2),
    "two entries for a cluster": _word(L2 + 8, DATA | COPIED),
    "unaligned cluster": _word(L2, (DATA + 512) | COPIED),
    "unaligned zero cluster": _word(L2, (DATA + 512) | COPIED | 1),
    "unaligned L2 table": _word(L1, (L2 + 512) | COPIED),
    "cluster beyond the end": _word(L2, (1 << 40) | COPIED),
    "reserved bits in an L2 entry": _word(L2, DATA | COPIED | 4),
    "reserved bits in an L1 entry": _word(L1, L2 | COPIED | 4),
    "compressed cluster with copied flag": _word(L2, DATA | COPIED | 1 << 62),
    "refcount table entry gone": _word(REFCOUNT_TABLE, 0),
    "refcount table entry unaligned": _word(REFCOUNT_TABLE, REFCOUNT_BLOCK + 512),
    "refcount table entry outside": _word(REFCOUNT_TABLE + 8, 1 << 34),
    "refcount table entry reserved bits": _word(REFCOUNT_TABLE + 8, 7),
    "refcount block used twice": _word(L2, REFCOUNT_BLOCK | COPIED),
}


@pytest.fixture(name="template", scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_io(path, "write -P 1 0 256k", "write -z 512k 64k")
    return path.read_bytes()


def _ours(path: Path, repair: Repair) -> CheckResult:
    async def check() -> CheckResult:
        options: JsonObject = {"driver": "qcow2", "cache.no-flush": True}
        node = await open_node(Graph(), options, filename=str(path), check=True, read_only=not repair)
        try:
            return await node.driver.check(repair)
        finally:
            await node.unref()

    return run(check)


def _findings(output: str) -> list[str]:
    """qemu-img's lines about single clusters."""
    lines = (line for line in output.splitlines() if line and not line.startswith(("The following", "Double")))
    first = [line for line in lines if line.startswith(("ERROR", "Leaked", "Repairing", "Rebuilding"))]
    return first


def _their_counts(output: str) -> dict[str, int]:
    answer = json.loads(output)
    return {name.replace("-", "_"): value for name, value in answer.items() if isinstance(value, int)}


@needs_qemu
@pytest.mark.parametrize("name", DAMAGES)
def test_a_check_finds_the_same(name: str, template: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    image = bytearray(template)
    DAMAGES[name](image)
    path.write_bytes(image)
    text = tool("qemu-img", "check", "-f", "qcow2", path)
    counts = _their_counts(tool("qemu-img", "check", "-f", "qcow2", "--output=json", path).stdout)
    ours = _ours(path, Repair.NONE)
    assert [line for line in ours.messages if line.startswith(("ERROR", "Leaked"))] == _findings(
        text.stderr + text.stdout
    )
    found = {key: value for key, value in asdict(ours).items() if key in counts}
    assert found == counts


@needs_qemu
@pytest.mark.parametrize("mode", ["leaks", "all"])
@pytest.mark.parametrize("name", DAMAGES)
def test_a_repair_leaves_a_good_image(name: str, mode: str, template: bytes, tmp_path: Path) -> None:
    path, theirs = tmp_path / "t.qcow2", tmp_path / "theirs.qcow2"
    image = bytearray(template)
    DAMAGES[name](image)
    path.write_bytes(image)
    theirs.write_bytes(image)
    text = tool("qemu-img", "check", "-f", "qcow2", "-r", mode, theirs)
    left_by_them = tool("qemu-img", "check", "-f", "qcow2", theirs).returncode
    repair = Repair.LEAKS if mode == "leaks" else Repair.LEAKS | Repair.ERRORS
    if text.stderr.endswith("Check failed: Input/output error\n"):
        with pytest.raises(BlockError, match="Input/output error"):
            _ours(path, repair)
        return
    ours = _ours(path, repair)
    lines = [line for line in ours.messages if line.startswith(("ERROR", "Leaked", "Repairing", "Rebuilding"))]
    assert lines == _findings(text.stderr + text.stdout)[: len(lines)]
    left = tool("qemu-img", "check", "-f", "qcow2", path)
    assert left.returncode == left_by_them, left.stdout + left.stderr


@needs_qemu
def test_a_repair_of_random_damage_converges(
    template: bytes, tmp_path: Path, repetitions: Callable[[int], int]
) -> None:
    path = tmp_path / "t.qcow2"
    for seed in range(repetitions(300)):
        generator = random.Random(seed)
        image = bytearray(template)
        for _ in range(generator.randrange(1, 5)):
            _refcount(generator.randrange(12), generator.randrange(4))(image)
            place = generator.choice([L2 + 8 * generator.randrange(6), L2 + 8 * generator.randrange(20)])
            _word(place, generator.randrange(12) * CLUSTER | generator.choice([COPIED, 0]))(image)
        path.write_bytes(image)
        result = _ours(path, Repair.LEAKS | Repair.ERRORS)
        left = tool("qemu-img", "check", "-f", "qcow2", path)
        assert (left.returncode == 0) == (not result.corruptions and not result.leaks), (seed, left.stdout, result)
