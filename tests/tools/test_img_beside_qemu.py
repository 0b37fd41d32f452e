"""backcheck-img beside the real qemu-img of each release: the same questions about the same images and answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.tools.programs import Answer, Bundled, Real

QUESTIONS = (
    ["info", "data"],
    ["info", "raw"],
    ["info", "-f", "qcow2", "overlay"],
    ["info", "-U", "--backing-chain", "top"],
    ["info", "version2"],
    ["info", "large"],
    ["info", "orphan"],
    ["info", "--backing-chain", "orphan"],
    ["info", "snapshots"],
    ["info", "missing"],
    ["info", "-f", "qcow2", "raw"],
    ["info", "-f", "zz", "data"],
    ["info", "--image-opts", "driver=qcow2,file.filename=data"],
    ["info", "--image-opts", "driver=qcow2,file.filename=data,zz=1"],
    ["info", 'json:{"driver": "qcow2", "file": {"driver": "file", "filename": "data"}}'],
    ["info", "null-co://"],
    ["info", "zz:data"],
    ["info", "--output=json", "data"],
    ["info", "--output=json", "raw"],
    ["info", "--output=json", "snapshots"],
    ["info", "--output=json", "--backing-chain", "top"],
    ["map", "data"],
    ["map", "top"],
    ["map", "compressed"],
    ["map", "--output=json", "data"],
    ["map", "--output=json", "top"],
    ["map", "--output=json", "compressed"],
    ["map", "--output=json", "raw"],
    ["map", "--output=json", "--start-offset=64k", "--max-length=1M", "data"],
    ["map", "--output=json", "--start-offset=8M", "data"],
    ["map", "missing"],
    ["check", "data"],
    ["check", "-q", "data"],
    ["check", "compressed"],
    ["check", "raw"],
    ["check", "leaky"],
    ["check", "corrupt"],
    ["check", "missing"],
    ["check", "-T", "zz", "data"],
    ["check", "--output=json", "data"],
    ["check", "--output=json", "leaky"],
    ["check", "--output=json", "corrupt"],
    ["check", "-U", "-r", "all", "data"],
    ["compare", "data", "data"],
    ["compare", "data", "overlay"],
    ["compare", "-p", "data", "data"],
    ["compare", "-q", "data", "overlay"],
    ["compare", "-f", "qcow2", "-F", "raw", "data", "raw"],
    ["compare", "short", "empty"],
    ["compare", "-s", "short", "empty"],
    ["compare", "empty", "zeroed"],
    ["compare", "-s", "empty", "zeroed"],
    ["compare", "empty", "tail"],
    ["compare", "short", "tail"],
    ["compare", "tail", "short"],
    ["compare", "missing", "data"],
    ["compare", "data", "missing"],
    ["compare", "-T", "zz", "data", "data"],
)
SAME_SINCE_10_0 = (
    ["info"],
    ["info", "data", "raw"],
    ["info", "--output=zz", "data"],
    ["info", "--image-opts", "-f", "qcow2", "data"],
    ["info", "--zz"],
    ["info", "json:{"],
    ["map"],
    ["map", "-z", "data"],
    ["map", "--start-offset=zz", "data"],
    ["map", "--max-length"],
    ["check"],
    ["check", "-r", "zz", "data"],
    ["compare", "data"],
    ["compare", "a", "b", "c"],
    ["resize", "data"],
    ["resize", "data", "zz"],
    ["resize", "data", "-20M"],
    ["resize", "--preallocation=zz", "data", "9M"],
    ["resize", "data", "-1M"],
    ["create"],
    ["create", "-f", "raw", "x", "zz"],
    ["create", "-f", "raw", "x", "16E"],
    ["create", "-f", "raw", "x", "-1"],
    ["create", "-f", "raw", "x", "1M", "1M"],
    ["create", "-f", "zz", "x", "1M"],
    ["create", "-f", "qcow2", "x"],
    ["create", "-f", "qcow2", "-o", "zz=1", "x", "1M"],
    ["create", "-f", "qcow2", "-b", "missing", "-F", "qcow2", "x"],
    ["create", "-f", "qcow2", "-b", "data", "x"],
    ["create", "-f", "raw", "-b", "data", "-F", "qcow2", "x", "1M"],
    ["create", "-f", "null-co", "x", "1M"],
    ["create", "-f", "raw", "null-co://", "1M"],
    ["create", "-f", "qcow2", "nowhere/x", "1M"],
    ["create", "--object", "zz,id=a", "x", "1M"],
    ["create", "-f", "raw", "-o", "help"],
    ["create", "-f", "raw", "-o", "help", "x"],
    ["convert", "data"],
    ["convert", "missing", "x"],
    ["convert", "-O", "zz", "data", "x"],
    ["convert", "-f", "zz", "data", "x"],
    ["convert", "-n", "-O", "qcow2", "data", "missing"],
    ["convert", "-n", "-O", "qcow2", "data", "short"],
    ["convert", "-O", "qcow2", "-o", "zz=1", "data", "x"],
    ["convert", "-S", "zz", "data", "x"],
    ["convert", "-S", "1000", "data", "x"],
    ["convert", "-m", "17", "data", "x"],
    ["convert", "-t", "zz", "data", "x"],
    ["convert", "-T", "zz", "data", "x"],
    ["convert", "-c", "-O", "raw", "data", "x"],
    ["convert", "-c", "-o", "preallocation=full", "-O", "qcow2", "data", "x"],
    ["convert", "-B", "data", "-O", "qcow2", "overlay", "x"],
    ["convert", "-B", "data", "-F", "qcow2", "-O", "raw", "overlay", "x"],
    ["convert", "-B", "data", "-F", "qcow2", "-O", "qcow2", "overlay", "overlay", "x"],
    ["convert", "--target-image-opts", "data", "driver=qcow2,file.filename=x"],
    ["convert", "--target-is-zero", "data", "x"],
    ["convert", "-O", "raw", "data", "nowhere/x"],
    ["convert", "-O", "raw", "overlay", "overlay"],
    ["rebase"],
    ["rebase", "overlay"],
    ["rebase", "-b", "missing", "-F", "qcow2", "overlay"],
    ["rebase", "-b", "data", "-F", "zz", "overlay"],
    ["rebase", "-b", "data", "overlay"],
    ["rebase", "-f", "raw", "-b", "data", "-F", "qcow2", "raw"],
    ["rebase", "-b", "overlay", "-F", "qcow2", "overlay"],
    ["commit"],
    ["commit", "data"],
    ["commit", "-f", "raw", "raw"],
    ["commit", "-b", "zz", "overlay"],
    ["commit", "-t", "zz", "overlay"],
    ["commit", "-r", "zz", "overlay"],
    ["nope"],
    ["--nope"],
    ["-z"],
)
"""Wrong uses. The words of older releases differ in many places and are not imitated."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of many shapes, made by a real QEMU."""
    folder = tmp_path_factory.mktemp("images")
    real = Real("7.2")

    def create(name: str, size: str, *options: str, kind: str = "qcow2") -> None:
        real.do("img", "create", "-q", "-f", kind, *options, name, size, folder=folder)

    def write(name: str, *commands: str) -> None:
        flags = [word for command in commands for word in ("-c", f"write -q {command}")]
        real.do("io", "-f", "raw" if name == "raw" else "qcow2", *flags, name, folder=folder)

    create("data", "4M")
    write("data", "-P 1 0 192k", "-z 192k 64k", "-P 2 1M 128k")
    create("raw", "4M", kind="raw")
    write("raw", "-P 3 64k 4k", "-P 4 3M 64k")
    create("overlay", "4M", "-b", "data", "-F", "qcow2")
    write("overlay", "-P 5 64k 64k")
    create("top", "6M", "-b", "overlay", "-F", "qcow2")
    write("top", "-P 6 128k 64k", "-z 1M 64k", "-P 9 5M 64k")
    create("compressed", "4M")
    write("compressed", "-c -P 7 2M 64k", "-P 8 0 64k")
    create("version2", "1M", "-o", "compat=0.10")
    create("large", "10M", "-o", "extended_l2=on,cluster_size=2M,lazy_refcounts=on,refcount_bits=64")
    create("orphan", "1M", "-u", "-b", "missing", "-F", "qcow2")
    create("short", "1M")
    create("empty", "8M")
    create("zeroed", "8M")
    write("zeroed", "-z 0 64k")
    create("tail", "8M")
    write("tail", "-P 7 7M 64k")
    create("snapshots", "1M")
    real.do("img", "snapshot", "-c", "first", "snapshots", folder=folder)
    damaged = (folder / "data").read_bytes()
    (folder / "leaky").write_bytes(damaged[:0x40000] + bytes(8) + damaged[0x40008:])
    (folder / "corrupt").write_bytes(damaged[:0x2000A] + bytes(2) + damaged[0x2000C:])
    return folder


def comparable(answer: Answer, *, as_json: bool) -> tuple[Any, ...]:
    """An answer with JSON parsed, and its keys in order, as QEMU's own order is part of it."""
    if as_json and answer.status in (0, 2, 3):
        return json.loads(answer.out, object_pairs_hook=list), answer.error, answer.status
    return answer.out, answer.error, answer.status


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_questions(question: list[str], images: Path, bundled: Bundled, real: Real) -> None:
    expected = real.run("img", question, images)
    answer = bundled.run("img", question, images, real.release)
    as_json = "--output=json" in question
    assert comparable(answer, as_json=as_json) == comparable(expected, as_json=as_json)


@pytest.mark.parametrize("question", SAME_SINCE_10_0, ids=" ".join)
def test_wrong_uses(question: list[str], images: Path, bundled: Bundled, default_release: Real, tmp_path: Path) -> None:
    folders = tmp_path / "theirs", tmp_path / "ours"
    for folder in folders:
        folder.mkdir()
        for name in ("data", "raw", "overlay", "short"):
            (folder / name).write_bytes((images / name).read_bytes())
    expected = default_release.run("img", question, folders[0])
    assert bundled.run("img", question, folders[1], default_release.release) == expected
    assert [path.name for path in folders[1].iterdir()] == [path.name for path in folders[0].iterdir()]
