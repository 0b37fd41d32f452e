"""The client beside servers and clients of others: nbdkit with its filters, qemu-nbd, qemu-img."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.block.programs import qemu_img
from tests.nbd.activation import needs_nbdkit, needs_qemu_img, needs_qemu_nbd, serving
from tests.tools.programs import Bundled

URL = "nbd:unix:sock"
MEMORY = ("nbdkit", "--foreground", "--exit-with-parent", "memory", "4M")


Run = Callable[..., tuple[str, str, int]]


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundled]:
    tools = Bundled(tmp_path_factory.mktemp("tools"))
    yield tools
    tools.close()


@pytest.fixture
def run(bundled: Bundled, tmp_path: Path) -> Run:
    """Runs a bundled tool in the test's folder: (stdout, stderr, exit status)."""

    def run_tool(tool: str, *arguments: str) -> tuple[str, str, int]:
        answer = bundled.run(tool, arguments, tmp_path, "7.2")
        return answer.out, answer.error, answer.status

    return run_tool


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def filtered(*filters: str, size: str = "4M", parameters: Sequence[str] = ()) -> tuple[str, ...]:
    """An nbdkit with filters over an empty disk in memory."""
    names = [f"--filter={name}" for name in filters]
    return ("nbdkit", "--foreground", "--exit-with-parent", *names, "memory", size, *parameters)


def io(run: Run, *commands: str) -> str:
    """What backcheck-io says, without how long it took."""
    arguments = [word for command in commands for word in ("-c", command)]
    out, error, _ = run("io", "-f", "raw", *arguments, URL)
    return "\n".join(line for line in (out + error).splitlines() if " ops" not in line)


@needs_nbdkit
def test_what_is_written_is_there(run: Run) -> None:
    with serving(Path("sock"), *MEMORY):
        said = io(
            run,
            "write -P 0x11 1M 2M",
            "write -z 1M 64k",
            "discard 2M 512k",
            "flush",
            "read -P 0 0 1088k",
            "read -P 0x11 1088k 960k",
            "read -P 0 2M 512k",
            "read -P 0x11 2560k 512k",
        )
    assert "failed" not in said
    assert said.count("read ") == 4


@needs_nbdkit
@needs_qemu_img
def test_qemu_img_sees_the_same(run: Run) -> None:
    with serving(Path("sock"), *MEMORY):
        io(run, "write -P 0x11 1M 1M", "write -z -u 1M 64k")
        out, error, status = run("img", "map", "--output=json", "-f", "raw", URL)
        assert (error, status) == ("", 0)
        theirs = json.loads(qemu_img("map", "--output=json", "-f", "raw", URL).stdout)
        shown = ("start", "length", "zero", "data")
        assert [[one[key] for key in shown] for one in json.loads(out)] == [
            [one[key] for key in shown] for one in theirs
        ]
        for format_name in ("raw", "qcow2"):
            _, error, status = run("img", "convert", "-O", format_name, URL, f"copy.{format_name}")
            assert (error, status) == ("", 0)
            assert qemu_img("compare", "-F", "raw", f"copy.{format_name}", URL).returncode == 0


@needs_qemu_nbd
@needs_qemu_img
def test_a_format_inside_an_export_of_qemu_nbd(run: Run) -> None:
    qemu_img("create", "-f", "raw", "disk", "4M")
    with serving(Path("sock"), "qemu-nbd", "--format=raw", "--persistent", "disk"):
        out, error, status = run("img", "create", "-f", "qcow2", URL, "64M")
        assert (error, status) == ("", 0)
        out, _, _ = run("io", "-f", "qcow2", "-c", "write -P 0x22 32M 1M", URL)
        assert "wrote" in out
    assert "No errors" in qemu_img("check", "disk").stdout
    mapped = json.loads(qemu_img("map", "--output=json", "disk").stdout)
    assert [(one["start"], one["length"]) for one in mapped if one["data"]] == [(32 << 20, 1 << 20)]


@needs_qemu_nbd
@needs_qemu_img
def test_a_dirty_bitmap_as_a_block_status(run: Run) -> None:
    """x-dirty-bitmap: what is dirty is shown as a hole."""
    qemu_img("create", "-f", "qcow2", "disk", "1M")
    qemu_img("bitmap", "--add", "disk", "b0")
    run("io", "-f", "qcow2", "-c", "write 128k 64k", "disk")
    context = "qemu:dirty-bitmap:b0"
    options = f"driver=nbd,server.type=unix,server.path=sock,x-dirty-bitmap={context}"
    with serving(Path("sock"), "qemu-nbd", "--format=qcow2", "--persistent", "--bitmap=b0", "disk"):
        ours = run("img", "map", "--output=json", "--image-opts", options)[0]
        theirs = qemu_img("map", "--output=json", "--image-opts", options).stdout
    pairs = [[(one["start"], one["length"], one["data"]) for one in json.loads(text)] for text in (ours, theirs)]
    assert pairs[0] == pairs[1] == [(0, 131072, True), (131072, 65536, False), (196608, 851968, True)]


@needs_nbdkit
@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("EIO", "Input/output error"),
        ("ENOSPC", "No space left on device"),
        ("EPERM", "Operation not permitted"),
        ("EINVAL", "Invalid argument"),
    ],
)
def test_errors_of_the_server(run: Run, error: str, words: str) -> None:
    failing = filtered("error", parameters=[f"error={error}", "error-pwrite-rate=100%"])
    with serving(Path("sock"), *failing):
        said = io(run, "write 0 64k", "read -P 0 0 64k")
    assert said == f"write failed: {words}\nread 65536/65536 bytes at offset 0"


@needs_nbdkit
def test_block_sizes_are_kept(run: Run) -> None:
    """The filter refuses requests that do not keep to the sizes that it tells."""
    parameters = [
        "blocksize-minimum=4096",
        "blocksize-preferred=4096",
        "blocksize-maximum=65536",
        "blocksize-error-policy=error",
    ]
    with serving(Path("sock"), *filtered("blocksize-policy", parameters=parameters)):
        said = io(run, "write -P 5 1000 300k", "read -P 5 1000 300k", "read -P 0 0 1000", "write -z 100 1M")
    assert "failed" not in said


@needs_nbdkit
def test_a_slow_server_is_waited_for(run: Run) -> None:
    with serving(Path("sock"), *filtered("delay", parameters=["delay-read=20ms", "delay-write=20ms"])):
        assert "failed" not in io(run, "aio_write -P 1 0 1M", "aio_write -P 2 1M 1M", "aio_flush", "read -P 2 1M 1M")


@needs_nbdkit
def test_the_server_notes_what_it_is_asked(run: Run) -> None:
    """The log of nbdkit: pieces of at most 32 MiB, holes only where they are wanted."""
    with serving(Path("sock"), *filtered("log", size="100M", parameters=["logfile=log"])):
        io(run, "write -P 1 0 40M", "write -z 0 40M", "write -z -u 0 4k")
    noted = re.findall(r" (Write|Zero) id=\d+ offset=(\w+) count=(\w+)(?: trim=(\d))?", Path("log").read_text())
    assert [(what, int(offset, 16), int(count, 16), trim) for what, offset, count, trim in noted] == [
        ("Write", 0, 32 << 20, ""),
        ("Write", 32 << 20, 8 << 20, ""),
        ("Zero", 0, 32 << 20, "0"),
        ("Zero", 32 << 20, 8 << 20, "0"),
        ("Zero", 0, 4096, "1"),
    ]


@needs_nbdkit
@needs_qemu_img
@pytest.mark.parametrize("url", [URL, f"{URL}:exportname=e", "nbd+unix:///e/f?socket=sock"])
def test_info(run: Run, url: str) -> None:
    with serving(Path("sock"), *MEMORY):
        ours = json.loads(run("img", "info", "--output=json", url)[0])
        theirs = json.loads(qemu_img("info", "--output=json", url).stdout)
    assert {key: ours[key] for key in theirs} == theirs
