"""Opening nodes: names, options, probing, backing chains; errors and shown filenames are those of a real qemu-img."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.json_value import JsonObject
from tests.block.loop import run
from tests.block.programs import needs_qemu, qemu_img, qemu_io

FILE: JsonObject = {"driver": "file", "filename": "raw.img"}
BLKDEBUG: JsonObject = {"driver": "blkdebug", "image": FILE}


def named(tree: JsonObject) -> str:
    """A tree as a filename."""
    return "json:" + json.dumps(tree)


WORKING = [
    "raw.img",
    "./raw.img",
    "file:raw.img",
    "image.qcow2",
    "overlay.qcow2",
    "sub/overlay.qcow2",
    "null-co://",
    "blkdebug::raw.img",
    "blkdebug:rules.cfg:raw.img",
    "blkdebug::image.qcow2",
    named({"driver": "raw", "file": FILE}),
    named({"driver": "raw", "file.driver": "file", "file.filename": "raw.img"}),
    named({"driver": "raw", "file": FILE, "offset": 512}),
    named({"driver": "raw", "file": FILE, "size": "1k", "offset": "0"}),
    named({"driver": "raw", "file": {"driver": "raw", "file": FILE}}),
    named({"file": FILE}),
    named({"driver": "null-co", "size": 65536}),
    named({"driver": "null-aio", "read-zeroes": True}),
    named({"driver": "null-co", "size": "1M", "latency-ns": 0}),
    named({"driver": "null-co", "latency-ns": 0}),
    named({"driver": "raw", "file": {"driver": "null-co", "latency-ns": 0}}),
    named({"driver": "raw", "file": {"driver": "null-co", "size": 4096, "read-zeroes": "on"}}),
    named({"driver": "raw", "file": BLKDEBUG}),
    named({"driver": "raw", "file": {**BLKDEBUG, "align": 4096}}),
    named({"driver": "raw", "file": {**BLKDEBUG, "max-transfer": 4096, "opt-write-zero": 4096}}),
    named({"driver": "raw", "file": {**BLKDEBUG, "max-write-zero": 4096, "opt-discard": 4096, "max-discard": 8192}}),
    named({"driver": "raw", "file": {**BLKDEBUG, "take-child-perms": ["consistent-read"]}}),
    named({"driver": "raw", "file": {**BLKDEBUG, "inject-error": [{"event": "write_aio", "once": True}]}}),
    named({"driver": "raw", "file": {**BLKDEBUG, "config": "rules.cfg"}}),
    named({"driver": "raw", "file": {**BLKDEBUG, "set-state": [{"event": "none", "new_state": 2}]}}),
    named({"driver": "qcow2", "file": {"driver": "file", "filename": "image.qcow2"}}),
    named({"driver": "qcow2", "file": {"driver": "file", "filename": "overlay.qcow2"}, "backing": None}),
    named({"driver": "qcow2", "lazy-refcounts": "on", "file.filename": "image.qcow2"}),
    "json:{'driver': 'raw', 'file': {'driver': 'file', 'filename': 'raw.img'}}",
]

BROKEN = [
    "nosuch.img",
    "",
    ".",
    "nosuch:raw.img",
    "a/b/c",
    "json:",
    "json:[",
    "json:{",
    "json:[1]",
    "json:{}",
    "json:{a}",
    'json:{"driver": "null-co"} x',
    named({"driver": "nosuch"}),
    named({"driver": ""}),
    named({"driver": "raw"}),
    named({"driver": "file"}),
    named({"driver": "file", "filename": ""}),
    named({"driver": "blkdebug"}),
    named({"driver": "raw", "file": "nosuch"}),
    named({"driver": "raw", "file": FILE, "foo": 1}),
    named({"driver": "raw", "file": {**FILE, "foo": 1, "bar.x": [1, 2]}}),
    named({"driver": "qcow2", "file": FILE, "b": 1}),
    named({"driver": "raw", "file": FILE, "offset": "x"}),
    named({"driver": "raw", "file": FILE, "offset": 2**40}),
    named({"driver": "raw", "file": FILE, "size": 2**40}),
    named({"driver": "raw", "file": FILE, "size": 1000}),
    named({"driver": "raw", "file": {**FILE, "locking": "perhaps"}}),
    named({"driver": "raw", "file": {**FILE, "aio": "native"}}),
    named({"driver": "raw", "file": FILE, "discard": "perhaps"}),
    named({"driver": "raw", "file": FILE, "detect-zeroes": "unmap", "discard": "ignore"}),
    named({"driver": "raw", "file": FILE, "backing": "x"}),
    named({"driver": "raw", "file": FILE, "backing": {"driver": "null-co"}}),
    named({"driver": "raw", "file": FILE, "node-name": "1x"}),
    named({"driver": "raw", "file": FILE, "node-name": "x" * 32}),
    named({"driver": "raw", "file": {**FILE, "node-name": "same"}, "node-name": "same"}),
    named({"driver": "null-co", "latency-ns": -1}),
    "null-co://x",
    "blkdebug:raw.img",
    "blkdebug:nosuch.cfg:raw.img",
    "blkdebug::nosuch.img",
    "no-backing.qcow2",
    "wrong-backing.qcow2",
    named({"driver": "qcow2", "file.filename": "overlay.qcow2", "backing.file.filename": "nosuch.qcow2"}),
    named({"driver": "qcow2", "file.filename": "overlay.qcow2", "backing": "nosuch"}),
    named({"driver": "host_device", "filename": "raw.img"}),
    named({"driver": "raw", "file": {**BLKDEBUG, "align": 3}}),
    named({"driver": "raw", "file": {**BLKDEBUG, "align": 512, "max-transfer": 1000}}),
    named({"driver": "raw", "file": {**BLKDEBUG, "inject-error": [{"event": "nosuch"}]}}),
    named({"driver": "raw", "file": {**BLKDEBUG, "inject-error": [{"event": "none", "foo": 1}]}}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img, which makes the images, is not installed")
    folder = tmp_path_factory.mktemp("images")
    (folder / "sub").mkdir()
    (folder / "raw.img").write_bytes(bytes(64 * 1024))
    (folder / "rules.cfg").write_text('[inject-error]\nevent = "flush_to_disk"\n')
    for arguments in (
        ["image.qcow2", "1M"],
        ["other.qcow2", "1M"],
        ["-b", "image.qcow2", "-F", "qcow2", "overlay.qcow2"],
        ["-b", "../image.qcow2", "-F", "qcow2", "-u", "sub/overlay.qcow2", "1M"],
        ["-b", "gone.qcow2", "-F", "qcow2", "-u", "no-backing.qcow2", "1M"],
        ["-b", "raw.img", "-F", "qcow2", "-u", "wrong-backing.qcow2", "1M"],
    ):
        paths = [str(folder / name) if name.startswith(("sub/",)) else name for name in arguments]
        result = qemu_img("create", "-q", "-f", "qcow2", *paths, folder=folder)
        assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(folder)
    return folder


async def shown_filename(name: str, *, only_info: bool = False) -> str:
    node = await open_node(Graph(), filename=name, read_only=True, no_io=only_info, no_backing=only_info)
    try:
        return node.filename
    finally:
        await node.unref()


@needs_qemu
@pytest.mark.parametrize("name", WORKING)
def test_a_node_shows_the_filename_that_qemu_shows(name: str, in_folder: Path) -> None:
    expected = json.loads(qemu_img("info", "--output=json", name).stdout)["filename"]
    assert run(shown_filename(name, only_info=True)) == expected


OVERRIDDEN = {
    named({"driver": "qcow2", "file.filename": "overlay.qcow2", "backing": None}): (
        'json:{"backing": null, "driver": "qcow2", "file": {"driver": "file", "filename": "overlay.qcow2"}}'
    ),
    named({"driver": "qcow2", "file.filename": "overlay.qcow2", "backing.file.filename": "other.qcow2"}): (
        'json:{"backing": {"driver": "qcow2", "file": {"driver": "file", "filename": "other.qcow2"}}, '
        '"driver": "qcow2", "file": {"driver": "file", "filename": "overlay.qcow2"}}'
    ),
    named({"driver": "qcow2", "file.filename": "overlay.qcow2", "backing.driver": "qcow2"}): "overlay.qcow2",
}
"""What query-named-block-nodes of QEMU 10.0 shows for them."""


@pytest.mark.parametrize(("name", "shown"), OVERRIDDEN.items())
def test_a_node_with_another_backing_says_so_in_its_filename(name: str, shown: str, in_folder: Path) -> None:
    assert run(shown_filename(name)) == shown


@needs_qemu
@pytest.mark.parametrize("name", BROKEN)
def test_a_name_that_does_not_open_is_refused_in_qemus_words(name: str, in_folder: Path) -> None:
    answer = qemu_io("-r", "-c", "quit", name)
    expected = re.sub(r"^.*\nqemu-io: |^qemu-io: ", "", answer.stdout + answer.stderr).rstrip()
    expected = expected.removeprefix(f"can't open device {name}: ").partition("\n")[0]

    with pytest.raises(EngineError) as caught:
        run(shown_filename(name))
    assert caught.value.message == expected


def test_nothing_is_left_after_a_failed_opening(in_folder: Path) -> None:
    async def story() -> tuple[list[str], int]:
        graph = Graph()
        for name in BROKEN:
            with pytest.raises(EngineError):
                await open_node(graph, filename=name)
        return list(graph.nodes), len(os.listdir("/proc/self/fd"))

    nodes, descriptors = run(story())
    assert nodes == []
    assert descriptors < 40


def test_a_guessed_raw_image_does_not_become_another_format(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> tuple[int, bytes]:
        node = await open_node(Graph(), filename="raw.img")
        with pytest.raises(BlockError) as caught:
            await node.pwrite(0, b"QFI\xfb\0\0\0\3")
        await node.pwrite(4, b"QFI\xfb\0\0\0\3")
        await node.pwrite(512, b"QFI\xfb\0\0\0\3")
        await node.pwrite_zeroes(0, 1024)
        content = bytes(await node.pread(0, 1024))
        await node.unref()
        return caught.value.errno, content

    assert run(story()) == (1, bytes(1024))
    assert capsys.readouterr().err == (
        "WARNING: Image format was not specified for 'raw.img' and probing guessed raw.\n"
        "         Automatically detecting the format is dangerous for raw images, write operations on block 0 will be"
        " restricted.\n         Specify the 'raw' format explicitly to remove the restrictions.\n"
    )


def test_children_take_over_what_they_should(in_folder: Path) -> None:
    tree: JsonObject = {
        "driver": "qcow2",
        "node-name": "top",
        "cache.no-flush": "on",
        "file": {"driver": "file", "filename": "overlay.qcow2", "node-name": "file"},
    }

    async def story() -> list[tuple[str, bool, bool, str]]:
        graph = Graph()
        node = await open_node(graph, tree)
        assert node.backing is not None
        chain = (node, node.file, node.backing, node.backing.file)
        facts = [(below.format_name, below.read_only, below.no_flush, below.discard_mode) for below in chain]
        await node.unref()
        assert graph.nodes == {}
        return facts

    assert run(story()) == [
        ("qcow2", False, True, "ignore"),
        ("file", False, True, "unmap"),
        ("qcow2", True, True, "ignore"),
        ("file", True, True, "unmap"),
    ]


def test_a_reference_takes_no_options_beside_it(in_folder: Path) -> None:
    async def story() -> str:
        graph = Graph()
        below = await open_node(graph, {"driver": "null-co", "node-name": "below"})
        top = await open_node(graph, {"driver": "raw", "node-name": "top", "file": "below"})
        with pytest.raises(BlockError) as caught:
            await open_node(graph, {"driver": "raw", "file": "below", "file.driver": "null-co"})
        await below.unref()
        assert list(graph.nodes) == ["below", "top"]
        await top.unref()
        assert graph.nodes == {}
        return caught.value.message

    assert run(story()) == "Cannot reference an existing block device with additional options or a new filename"
