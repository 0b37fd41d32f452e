"""backcheck-io beside the real qemu-io of each release: the same commands, the same output, the same images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.programs import Bundled, Real

SESSIONS: dict[str, list[str]] = {
    "writes and reads": [
        "write -P 0x11 0 64k",
        "write -P 010 64k 10",
        "write 1M 128k",
        "write -z 64k 64k",
        "write -z -u 1M 64k",
        "write -f 2M 100",
        "write -s source 3M 2000",
        "writev -P 3 2050k 1k 2k",
        "read -P 0x11 0 64k",
        "read -P 0 64k 64k",
        "read -P 0xcd 1088k 64k",
        "read -P 0 0 64k",
        "read -P 0x11 -s 100 -l 1000 0 128k",
        "readv -P 3 2050k 1k 2k",
        "readv -P 4 2050k 1k",
        "read -v 1 40",
        "read -q 0 1M",
        "read 0 0",
        "write 0 0",
        "flush",
    ],
    "compressed": [
        "write -c -P 7 0 64k",
        "write -c 0 100",
        "write -c 0 64k",
        "read -P 7 0 64k",
        "write -c -z 64k 64k",
        "write -c 3M 128k",
    ],
    "behind the virtual disk": [
        "write -b -P 3 0 64k",
        "read -b -P 3 0 64k",
        "read -b -P 0 64k 512",
        "write -b 1 512",
        "write -b 0 100",
        "read -b 0 1",
        "map",
    ],
    "asynchronous": [
        "aio_write -P 5 0 64k",
        "aio_flush",
        "aio_read -P 5 0 64k",
        "aio_flush",
        "aio_read -P 6 0 64k",
        "aio_flush",
        "aio_write 0 1k 2k",
        "aio_flush",
        "aio_write -q -z 64k 64k",
        "aio_read 9M 64k",
        "aio_flush",
        "aio_write 9M 64k",
        "aio_flush",
        "aio_read -v 0 20",
        "aio_flush",
    ],
    "what the image is": [
        "length",
        "map",
        "alloc 0",
        "write -q 64k 128k",
        "map",
        "alloc 0 1M",
        "alloc 100 1000",
        "alloc 5M",
        "alloc 3M 3M",
        "truncate 5M",
        "length",
        "map",
        "discard 64k 64k",
        "discard -q 0 1M",
        "info",
    ],
    "errors of requests": [
        "write 5M 64k",
        "read 5M 1",
        "discard 5M 1",
        "readv 5M 1k",
        "writev 5M 1k",
        "write -z 5M 1k",
    ],
    "errors of arguments": [
        "write",
        "write 0",
        "write abc 1",
        "write 0 zz",
        "write 0 -1",
        "write 16E 1",
        "write -P 300 0 1",
        "write -P zz 0 1",
        "write -x 0 1",
        "write -u 0 1",
        "write -n 0 1",
        "write -z -P 1 0 1",
        "write -b -z 0 64k",
        "write -f -c 0 64k",
        "write -c 1 512",
        "write 0 3G",
        "write -s missing 0 1",
        "read 0 1 2",
        "read -s 0 0 1",
        "read -P 0 -s 10 -l 30 0 30",
        "read 0 3G",
        "readv 0 3G",
        "aio_write -u 0 64k",
        "aio_write -z 0 64k 64k",
        "aio_write 0",
        "discard zz",
        "length 1",
        "alloc",
        "alloc zz",
        "alloc -1",
        "truncate",
        "truncate zz",
        "truncate -m zz 9M",
        "sleep",
        "sleep zz",
        "sleep 1",
        "break",
        "break write_aio A",
        "remove_break A",
        "resume A",
        "sigraise 100",
        "help nope",
        "nope",
        "",
        "open x",
        "close",
        "length",
    ],
    "short names": ["w 0 64k", "r 0 64k", "l", "d 0 64k", "f", "a 0", "i", "t 5M", "c", "q", "length"],
}
OLD_WORDS = {"errors of arguments": {"5.2", "7.2"}}
"""Sessions in which older releases take or word arguments differently; the engine has the words of 10.0 there."""


def prepare(folder: Path, real: Real) -> None:
    """An image and a file to write from."""
    folder.mkdir()
    (folder / "source").write_bytes(bytes(range(256)) * 3)
    real.do("img", "create", "-q", "-f", "qcow2", "image", "4M", folder=folder)


@pytest.mark.parametrize("session", SESSIONS)
def test_sessions(session: str, bundled: Bundled, real: Real, tmp_path: Path) -> None:
    if real.release in OLD_WORDS.get(session, ()):
        pytest.skip(f"the words of {real.release} are not imitated here")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        prepare(folder, real)
    arguments = ["-f", "qcow2", "-d", "unmap"]
    for command in SESSIONS[session]:
        arguments += ["-c", command]
    arguments.append("image")
    expected = real.run("io", arguments, theirs)
    answer = bundled.run("io", arguments, ours, real.release)
    assert answer == expected
    real.do("img", "check", "-q", str(ours / "image"), folder=ours)
    real.do("img", "compare", str(ours / "image"), str(theirs / "image"), folder=ours)


WAYS_TO_OPEN = (
    ["missing", "-c", "length"],
    ["-f", "zz", "image", "-c", "length"],
    ["-f", "qcow2", "raw", "-c", "length"],
    ["-t", "zz", "image"],
    ["-d", "zz", "image"],
    ["--image-opts", "driver=qcow2,file.filename=image", "-c", "length"],
    ["--image-opts", "-f", "raw", "image"],
    ["--image-opts", "driver=zz,file.filename=image", "-c", "length"],
    ["--image-opts", "driver=qcow2,zz=1,file.filename=image", "-c", "length"],
    ["-c", "length"],
    ["-c", "quit", "-c", "length"],
    ["-c", "open -o driver=qcow2 image", "-c", "length", "-c", "close", "-c", "close"],
    ["-c", "open -r image", "-c", "write 0 1"],
    ["-c", "open image x"],
    ["-r", "image", "-c", "write 0 1", "-c", "aio_write 0 1", "-c", "discard 0 1", "-c", "truncate 1M", "-c", "flush"],
    ["-r", "image", "-c", "reopen -w", "-c", "write -q 0 1", "-c", "reopen -r", "-c", "write 0 1"],
    ["image", "-c", "reopen -r -w", "-c", "reopen -c zz", "-c", "reopen -o zz=1"],
    ["-U", "image", "-c", "length"],
    ["-U", "-r", "image", "-c", "length"],
    ["-C", "-r", "image", "-c", "length"],
    ["-C", "overlay", "-c", "alloc 0 64k", "-c", "read -P 9 0 64k", "-c", "alloc 0 64k"],
    ["-s", "image", "-c", "write -P 4 0 1", "-c", "read -P 4 0 1"],
    ["raw", "-c", "write 0 1"],
    ["raw", "-c", "write -P 0x51 0 512", "-c", "info", "-c", "map"],
    ["-f", "raw", "raw", "-c", "write 1M 1", "-c", "write -c 0 64k", "-c", "write -b 0 64k", "-c", "read -b 0 64k"],
    ["--object", "secret,id=s,data=abc", "image", "-c", "length"],
    ["--object", "zz,id=s", "image", "-c", "length"],
    ["-n", "image", "-c", "read -P 0 0 1M"],
    ["null-co://", "-c", "length", "-c", "read -q 0 64k", "-c", "alloc 0", "-c", "info"],
    ["blkdebug::image", "-c", "break write_aio A", "-c", "aio_write 0 64k", "-c", "wait_break A", "-c", "resume A"],
    ["blkdebug::image", "-c", "break zz A"],
)


@pytest.mark.parametrize("arguments", WAYS_TO_OPEN, ids=" ".join)
def test_ways_to_open(arguments: list[str], bundled: Bundled, default_release: Real, tmp_path: Path) -> None:
    folder, real = tmp_path / "images", default_release
    prepare(folder, real)
    real.do("img", "create", "-q", "-f", "raw", "raw", "1M", folder=folder)
    real.do("io", "-f", "qcow2", "-c", "write -q -P 9 0 64k", "image", folder=folder)
    real.do("img", "create", "-q", "-f", "qcow2", "-b", "image", "-F", "qcow2", "overlay", folder=folder)
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in folder.iterdir():
        (copies / path.name).write_bytes(path.read_bytes())
    assert bundled.run("io", arguments, copies, real.release) == real.run("io", arguments, folder)


def test_commands_from_stdin(bundled: Bundled, real: Real, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    prepare(folder, real)
    script = "length\nwrite -q 0 512\n\nread -P 0xcd 0 512\nnope\nquit\nlength\n"
    expected = real.run("io", ["image"], folder, stdin=script)
    assert bundled.run("io", ["image"], folder, real.release, stdin=script) == expected
    assert bundled.run("io", ["image"], folder, real.release, stdin="length") == real.run(
        "io", ["image"], folder, stdin="length"
    )


@pytest.mark.parametrize("cache", ["", "-n", "-t none", "-t writeback", "-t writethrough", "open"])
def test_what_is_in_the_file_when_it_is_killed(cache: str, bundled: Bundled, real: Real, tmp_path: Path) -> None:
    """Metadata too, unless the user says that writes are cached."""
    commands = ["-c", "open -o driver=qcow2 image"] if cache == "open" else [*cache.split(), "-f", "qcow2", "image"]
    arguments = [*commands, "-c", "write -P 1 0 64k", "-c", "sigraise 9"]
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        prepare(folder, real)
    assert bundled.run("io", arguments, ours, real.release).status == -9
    assert real.run("io", arguments, theirs).status == -9
    found = [real.run("img", ["map", "-f", "qcow2", "image"], folder) for folder in (ours, theirs)]
    assert found[0] == found[1]
