"""Whatever the command line, a tool ends, with an exit status of its own and without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tools.programs import Bundled

FILES = [
    "disk",
    "overlay",
    "raw",
    "new",
    "missing",
    "/dev/null",
    "/",
    "",
    "\udcff",
    "blkdebug::disk",
    "null-co://",
    "zz:x",
]
JSON_NAMES = [
    'json:{"driver": "file", "filename": "a\\u0000b"}',
    'json:{"driver": "qcow2", "file": "disk"}',
    'json:{"driver": "raw", "file": {"driver": "file", "filename": "raw"}, "offset": 512, "size": 99}',
    'json:{"driver": "qcow2", "file": {"driver": "qcow2", "file": {"driver": "file", "filename": "disk"}}}',
    'json:{"driver": "file", "filename": 7}',
    "json:[]",
    "driver=qcow2,file.filename=disk",
    "driver=raw,file=disk",
]
VALUES = [
    "raw",
    "qcow2",
    "json",
    "all",
    "64k",
    "-1",
    "1G",
    "",
    ",",
    "=",
    "none",
    "full",
    "cluster_size=4k",
    "size=1M,,",
]
IMG_OPTIONS = [
    *("-f", "-F", "-O", "-o", "-b", "-B", "-u", "-U", "-q", "-p", "-n", "-c", "-S", "-s", "-l", "-r", "-d", "-t", "-T"),
    *("--output=json", "--image-opts", "--shrink", "--preallocation=metadata", "--backing-chain", "--salvage", "--"),
]
SUBCOMMANDS = ["create", "info", "check", "compare", "map", "convert", "resize", "rebase", "commit"]
IO_OPTIONS = ["-f", "-r", "-s", "-n", "-C", "-t", "-d", "-U", "--image-opts", "--"]
IO_WORDS = [
    *("read", "write", "aio_read", "aio_write", "readv", "writev", "discard", "aio_discard", "alloc", "map", "length"),
    *("truncate", "flush", "aio_flush", "info", "open", "close", "reopen", "help", "break", "resume", "remove_break"),
    *("-P", "-z", "-u", "-c", "-b", "-n", "-q", "-v", "-C", "-s", "-l", "-f", "-r", "-w", "-m", "-o", "-i"),
    *("0", "1", "512", "64k", "1M", "2M", "8E", "1.5", "-1", "0x", "zz", "disk", "raw", "write_aio", "tag", "300"),
]


@pytest.fixture
def folder(tmp_path: Path, bundled: Bundled) -> Path:
    """A few images."""
    for arguments in (
        ["create", "-f", "qcow2", "disk", "1M"],
        ["create", "-f", "qcow2", "-b", "disk", "-F", "qcow2", "overlay"],
        ["create", "raw", "1M"],
    ):
        assert bundled.run("img", arguments, tmp_path, "10.0").status == 0
    return tmp_path


def must_end_well(status: int, error: str) -> None:
    assert status in (0, 1, 2, 3, 4, 63), error
    assert "Traceback" not in error
    assert "internal error" not in error


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    subcommand=st.sampled_from(SUBCOMMANDS),
    words=st.lists(st.sampled_from([*FILES, *FILES, *JSON_NAMES, *VALUES, *IMG_OPTIONS]), max_size=7),
)
def test_img(subcommand: str, words: list[str], folder: Path, bundled: Bundled) -> None:
    answer = bundled.run("img", [subcommand, *words], folder, "10.0")
    must_end_well(answer.status, answer.error)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    options=st.lists(st.sampled_from(IO_OPTIONS), max_size=2),
    commands=st.lists(st.lists(st.sampled_from(IO_WORDS), max_size=6).map(" ".join), max_size=4),
    name=st.sampled_from([*FILES, *JSON_NAMES]),
)
def test_io(options: list[str], commands: list[str], name: str, folder: Path, bundled: Bundled) -> None:
    arguments = [*options, *(word for command in commands for word in ("-c", command)), name]
    answer = bundled.run("io", arguments, folder, "10.0", stdin="length\n")
    must_end_well(answer.status, answer.error)
