"""backcheck-img bitmap and convert --bitmaps beside the real qemu-img of each release, on images that are alike."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.json_value import JsonObject
from tests.tools.programs import Answer, Bundled, Real

LONG = "n" * 1023
STORIES: dict[str, list[str]] = {
    "nothing to do": ["bitmap", "bitmap a", "bitmap a b", "bitmap -b z a b", "bitmap -g 64k"],
    "operands": ["bitmap --add a", "bitmap --add a b c", "bitmap --clear --image-opts -f raw a"],
    "options that do not go together": [
        "bitmap --add -b z a b2",
        "bitmap -F qcow2 --merge b a b",
        "bitmap -F qcow2 --add a b",
        "bitmap -g 64k --clear a b",
        "bitmap --clear -F raw -g 64k -b x a b",
        "bitmap --clear -b x a",
        "bitmap --add --image-opts -f qcow2 a b",
        "bitmap --clear -g 0 a b0",
    ],
    "images that cannot be had": [
        "bitmap --add missing b",
        "bitmap --add -f zz a b",
        "bitmap --add -f qcow2 r b",
        "bitmap --merge b0 -b missing a b0",
        "bitmap --merge b0 -b z -F zz a b0",
        "bitmap --merge b0 -b a a b0",
    ],
    "images without bitmaps": ["bitmap --add r b", "bitmap --add -f raw r b", "bitmap --add v2 b"],
    "names": [
        "bitmap --add a new",
        "bitmap --add a new",
        "bitmap --add a b0",
        "bitmap --add a été",
        f"bitmap --add a {LONG}",
        f"bitmap --add a {LONG}x",
        *(f"bitmap {action} a nope" for action in ("--remove", "--clear", "--enable", "--disable", "--merge b0")),
        "bitmap --merge nope a b0",
    ],
    "granularity": [
        *(f"bitmap -g {size} --add a g{size}" for size in ("1k", "256", "0", "1000", "4G", "2G", "zz", "7E")),
        "bitmap --granularity 64k --add a last",
        "bitmap -g 512 --add huge small",
        "bitmap -g 2G --add huge large",
    ],
    "several actions": [
        "bitmap --add --disable a one",
        "bitmap --add --remove a two",
        "bitmap --remove --add a b0",
        "bitmap --clear --clear --enable --disable a b1",
        "bitmap --add --merge b1 a three",
        "bitmap --merge b1 --merge one --add a four",
        "bitmap --add --merge nope a left",
        "bitmap --add --add a five",
        "bitmap --remove --remove a five",
        "bitmap --clear a six --add",
    ],
    "merging": [
        "bitmap --merge b0 a b1",
        "bitmap --merge b1 a b0",
        "bitmap --merge b1 a b1",
        "bitmap --merge b1 -b z -F raw a b0",
        "bitmap --merge z0 -b z a b0",
        "bitmap --merge b0 -b same -F qcow2 a b1",
        "bitmap --merge fine a b0",
        "bitmap --merge b0 a fine",
    ],
    "what cannot be used": [
        "bitmap --clear broken b0",
        "bitmap --merge b0 broken b1",
        "bitmap --merge b1 broken b0",
        "bitmap --enable broken b0",
        "bitmap --add broken b0",
        "resize broken 2M",
        "bitmap --remove broken b0",
        "resize broken 2M",
    ],
    "everything removed": ["bitmap --remove-all a x", "bitmap --remove-all a", "bitmap --remove-all --add a x"],
    "resizing": ["resize a 2M", "resize --shrink a 1000000", "resize --shrink a 512", "resize a 5M"],
    "an empty disk": ["bitmap --add empty b"],
    "wrong options": ["bitmap --zz a b", "bitmap --add -q a b", "bitmap --merge"],
    "converted": [
        "convert --bitmaps a z out",
        "convert --bitmaps r out",
        "convert --bitmaps v2 out",
        "convert --bitmaps -O raw a out",
        "convert --bitmaps -O qcow2 -o compat=0.10 a out",
        "convert --bitmaps -O qcow2 a out",
        "convert --bitmaps -n -O qcow2 a out",
        "convert --bitmaps -n -O qcow2 a z",
        "convert --bitmaps -c -O qcow2 a small",
    ],
    "converted with what is broken": [
        "convert --bitmaps -O qcow2 broken out",
        "convert --skip-broken-bitmaps -O qcow2 a out",
        "convert --bitmaps --skip-broken-bitmaps -O qcow2 broken out",
    ],
    "asked": ["info a", "info broken", "info --output=json a", "check a", "check broken", "info huge"],
    "committed and rebased": [
        "commit overlay",
        "bitmap --add overlay top",
        "rebase -b same -F qcow2 overlay",
        "commit -d overlay",
    ],
}
"""Each on fresh copies of the images."""
SPECIAL = {
    "7.2": ("wrong options", "an empty disk", "converted with what is broken"),
    "11.1": ("nothing to do", "granularity", "wrong options", "everything removed", "what cannot be used"),
}
"""The stories in which these releases may differ from one that is told all."""


def mark_in_use(image: Path, name: str) -> None:
    """Let a stored bitmap look as after a kill."""
    data = bytearray(image.read_bytes())
    at = data.index(name.encode() + b"\0" * 6, 1 << 16) - 24
    (flags,) = struct.unpack_from(">I", data, at + 12)
    struct.pack_into(">I", data, at + 12, flags | 1)
    image.write_bytes(data)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with bitmaps, made by a real QEMU."""
    folder = tmp_path_factory.mktemp("bitmaps")
    real = Real("7.2")
    for name, size, options in (
        ("a", "1M", []),
        ("z", "3M", []),
        ("same", "1M", []),
        ("v2", "1M", ["-o", "compat=0.10"]),
        ("huge", "300T", []),
        ("empty", "0", []),
    ):
        real.do("img", "create", "-q", "-f", "qcow2", *options, name, size, folder=folder)
    real.do("img", "create", "-q", "-f", "raw", "r", "1M", folder=folder)
    real.do("img", "bitmap", "--add", "a", "b0", folder=folder)
    real.do("img", "bitmap", "--add", "--disable", "-g", "32k", "a", "b1", folder=folder)
    real.do("img", "bitmap", "--add", "-g", "512", "a", "fine", folder=folder)
    real.do("img", "bitmap", "--add", "z", "z0", folder=folder)
    real.do("img", "bitmap", "--add", "same", "b0", folder=folder)
    for image in ("a", "same"):
        real.do("io", "-f", "qcow2", "-c", "write 0 64k", "-c", "write 600k 1", image, folder=folder)
    real.do("img", "create", "-q", "-f", "qcow2", "-b", "a", "-F", "qcow2", "overlay", folder=folder)
    real.do("io", "-f", "qcow2", "-c", "write 256k 64k", "overlay", folder=folder)
    shutil.copy(folder / "a", folder / "broken")
    mark_in_use(folder / "broken", "b0")
    return folder


def _plain(answer: Answer) -> tuple[str, str, int]:
    """An answer without generated names and without sizes on the host."""
    out = re.sub(r'(disk size: |file length: |Image end offset: |"(actual|virtual)-size": \d*,?).*', "", answer.out)
    return out, re.sub(r"#block\d+", "#block", answer.error), answer.status


def _bitmaps(image: Path, real: Real) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """(the stored bitmaps as the real tool lists them, what those hold that can be used)."""
    if "file format: qcow2" not in real.run("img", ["info", image.name], image.parent).out:
        return [], {}
    info = json.loads(real.do("img", "info", "--output=json", image.name, folder=image.parent))
    return info["format-specific"]["data"].get("bitmaps", []), asyncio.run(_digests(image))


async def _digests(image: Path) -> dict[str, str]:
    options: JsonObject = {"driver": "qcow2", "backing": None, "read-only": True, "file.filename": str(image)}
    node = await open_node(Graph(), options)
    try:
        return {str(bitmap.name): bitmap.sha256() for bitmap in node.bitmaps if not bitmap.inconsistent}
    finally:
        await node.unref()


@pytest.mark.parametrize("story", STORIES)
def test_the_same_as_the_real_tool(story: str, images: Path, bundled: Bundled, real: Real, tmp_path: Path) -> None:
    if story not in SPECIAL.get(real.release, STORIES):
        pytest.skip(f"{real.release} tells this as its neighbours do")
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        shutil.copytree(images, folder)
    for line in STORIES[story]:
        words = line.split()
        expected = _plain(real.run("img", words, theirs))
        assert _plain(bundled.run("img", words, ours, real.release)) == expected, line
    assert {path.name for path in ours.iterdir()} == {path.name for path in theirs.iterdir()}
    for image in sorted(theirs.iterdir()):
        mine = ours / image.name
        if image.read_bytes() == mine.read_bytes():
            continue
        assert _bitmaps(mine, real) == _bitmaps(image, real), image.name
        if real.run("img", ["check", image.name], theirs).status == 0:
            assert real.run("img", ["check", mine.name], ours).status == 0, image.name
