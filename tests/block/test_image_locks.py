"""Image locks: the engine and a real QEMU exclude each other as two QEMUs do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject
from tests.block.loop import run
from tests.block.programs import locked_bytes, needs_qemu, qemu_img, qemu_io, qemu_io_holding

pytestmark = needs_qemu

READ, WRITE = Permission.CONSISTENT_READ, Permission.WRITE
KiB = 1024


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(bytes(64 * KiB))
    return path


@asynccontextmanager
async def held(
    path: Path, permissions: Permission, shared: Permission = Permission.ALL, **options: JsonObject | bool | str
) -> AsyncIterator[BlockBackend]:
    """An image, raw unless the options say otherwise, in use by a backend with those permissions."""
    graph = Graph()
    file: JsonObject = {"driver": "file", "filename": str(path)}
    node = await open_node(graph, {"driver": "raw", "file": file, **options})
    backend = BlockBackend(graph, permissions=permissions, shared=shared)
    try:
        try:
            backend.insert(node)
        finally:
            await node.unref()
        yield backend
    finally:
        await backend.close()


def test_what_the_engine_does_not_share_qemu_does_not_get(image: Path) -> None:
    async def story() -> tuple[str, str]:
        async with held(image, READ | WRITE, READ):
            writer = qemu_io("-f", "raw", "-c", "write 0 1k", str(image))
            reader = qemu_io("-f", "raw", "-r", "-c", "read 0 1k", str(image))
            return writer.stderr, reader.stdout

    writer, reader = run(story())
    assert 'Failed to get "write" lock\nIs another process using the image [' in writer
    assert "read 1024/1024 bytes" in reader


def test_what_qemu_does_not_share_the_engine_does_not_get(image: Path) -> None:
    qcow2 = image.with_name("image.qcow2")
    qemu_img("create", "-q", "-f", "qcow2", str(qcow2), "64k")

    async def story() -> BlockError:
        with pytest.raises(BlockError) as caught:
            async with held(qcow2, READ | WRITE):
                pass
        return caught.value

    with qemu_io_holding("-f", "qcow2", str(qcow2)):
        error = run(story())
    assert error.message == 'Failed to get "write" lock'
    assert error.hint == f"Is another process using the image [{qcow2}]?"


def test_what_qemu_uses_the_engine_has_to_share(image: Path) -> None:
    async def story() -> BlockError:
        with pytest.raises(BlockError) as caught:
            async with held(image, READ, READ):
                pass
        return caught.value

    with qemu_io_holding("-f", "raw", str(image)):
        error = run(story())
    assert error.message == 'Failed to get shared "write" lock'


def test_a_refused_change_leaves_the_locks_as_they_were(image: Path) -> None:
    async def story() -> tuple[set[int], set[int]]:
        async with held(image, READ) as backend:
            before = locked_bytes(image)
            async with held(image, READ | WRITE):
                with pytest.raises(BlockError, match='Failed to get shared "write" lock'):
                    backend.set_permissions(READ, READ)
            return before, locked_bytes(image)

    before, after = run(story())
    assert after == before == {100}


@pytest.mark.parametrize("options", [[], ["-r"], ["-r", "-U"]])
@pytest.mark.parametrize("format_name", ["raw", "qcow2"])
def test_the_bytes_held_are_those_that_qemu_io_holds(tmp_path: Path, format_name: str, options: list[str]) -> None:
    path = tmp_path / "image"
    qemu_img("create", "-q", "-f", format_name, str(path), "64k")
    with qemu_io_holding(*options, "-f", format_name, str(path)):
        of_qemu = locked_bytes(path)
    tree = {"driver": format_name, "read-only": "-r" in options, "force-share": "-U" in options}

    async def of_engine() -> set[int]:
        async with held(path, READ if options else READ | WRITE, **tree):
            return locked_bytes(path)

    assert run(of_engine()) == of_qemu


def test_locking_off_takes_no_lock(image: Path) -> None:
    async def story() -> set[int]:
        async with held(image, READ | WRITE, READ, **{"file.locking": "off"}):
            return locked_bytes(image)

    assert run(story()) == set()


def test_with_auto_read_only_the_descriptor_follows_the_users(image: Path) -> None:
    async def story() -> tuple[set[int], bytes]:
        async with held(image, READ, **{"auto-read-only": True}) as backend:
            backend.set_permissions(READ | WRITE, Permission.ALL)
            await backend.pwrite(0, b"new")
            while_writing = locked_bytes(image)
            backend.set_permissions(READ, Permission.ALL)
            assert locked_bytes(image) == {100}
            await backend.flush()
            return while_writing, bytes(await backend.pread(0, 3))

    assert run(story()) == ({100, 101}, b"new")
