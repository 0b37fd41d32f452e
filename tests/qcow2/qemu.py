"""The installed QEMU's tools as witnesses, and images opened by the engine."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.json_value import JsonObject

T = TypeVar("T")

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-img") is None or shutil.which("qemu-io") is None, reason="qemu-img or qemu-io is not installed"
)


def tool(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a QEMU tool to its end, whatever its exit status."""
    return subprocess.run(
        [str(argument) for argument in arguments], capture_output=True, text=True, cwd=cwd, timeout=60, check=False
    )


def qemu_img(*arguments: str | Path, cwd: Path | None = None) -> str:
    """qemu-img's output; it has to succeed."""
    done = tool("qemu-img", *arguments, cwd=cwd)
    assert done.returncode == 0, f"qemu-img {arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def qemu_io(image: Path, *commands: str, options: tuple[str, ...] = ("-f", "qcow2")) -> None:
    """Run commands of qemu-io on an image; all have to succeed."""
    argv: list[str | Path] = ["qemu-io", *options]
    for command in commands:
        argv += ["-c", command]
    done = tool(*argv, image)
    assert done.returncode == 0, f"{commands}: {done.stdout}{done.stderr}"
    assert "failed" not in done.stdout, done.stdout


def check(image: Path) -> None:
    """The image has neither errors nor leaks, says qemu-img."""
    done = tool("qemu-img", "check", "-f", "qcow2", image)
    assert done.returncode == 0, done.stdout + done.stderr


@asynccontextmanager
async def opened(path: Path, graph: Graph | None = None, **options: object) -> AsyncIterator[Node]:
    """A qcow2 image opened by the engine; `cache__direct` stands for cache.direct."""
    tree: JsonObject = {"driver": "qcow2", "discard": "unmap"}
    for name, value in options.items():
        assert value is None or isinstance(value, str | int | bool)
        tree[name.replace("__", ".").replace("_", "-")] = value
    node = await open_node(graph or Graph(), tree, filename=str(path))
    try:
        yield node
    finally:
        await node.unref()


def run(function: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function to its end in a loop of its own."""

    async def main() -> T:
        return await function()

    return asyncio.run(main())
