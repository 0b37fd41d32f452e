"""The tools as processes: started cold, killed, with nobody reading, and with a bug in them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEADLINE_S = 60
PROGRAMS = ("img", "io")


def start(program: str, *arguments: str, folder: Path, **options: object) -> subprocess.Popen[str]:
    """A tool in a process of its own."""
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", f"backcheck_engine.tools.{program}", *arguments],
        cwd=folder,
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=options.pop("stderr", subprocess.PIPE),
        text=True,
        **options,
    )


def run(program: str, *arguments: str, folder: Path, **options: object) -> tuple[str, str, int]:
    """(stdout, stderr, exit status) of a tool."""
    process = start(program, *arguments, folder=folder, **options)
    out, error = process.communicate(timeout=DEADLINE_S)
    return out, error, process.returncode


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_names_the_release(program: str, tmp_path: Path) -> None:
    out, error, status = run(program, "--version", folder=tmp_path, env={**os.environ, "BACKCHECK_RELEASE": "7.2"})
    assert (error, status) == ("", 0)
    assert re.match(rf"backcheck-{program} version 7\.2\.0 ", out)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_lists_every_option(program: str, tmp_path: Path) -> None:
    from backcheck_engine.tools import img, io

    options = {"img": img, "io": io}[program].OPTIONS
    out, error, status = run(program, "--help", folder=tmp_path)
    assert (error, status) == ("", 0)
    assert all(f"--{option.long}" in out for option in options)


@pytest.mark.parametrize("name", ["amend", "bench", "dd", "measure", "snapshot"])
def test_what_is_not_implemented_says_so(name: str, tmp_path: Path) -> None:
    assert run("img", name, "x", folder=tmp_path) == ("", f"backcheck-img: {name} is not implemented\n", 1)


def test_every_subcommand_has_help(tmp_path: Path) -> None:
    from backcheck_engine.tools import img

    for name in img.SUMMARIES:
        subcommand = img.load(name)
        assert all(option.help for option in subcommand.options)
    out, error, status = run("img", "convert", "--help", folder=tmp_path)
    assert (error, status) == ("", 0)
    assert "  backcheck-img convert [-f SRC_FMT" in out


def test_an_unknown_release_is_named(tmp_path: Path) -> None:
    out, error, status = run("img", "info", "x", folder=tmp_path, env={**os.environ, "BACKCHECK_RELEASE": "6.0"})
    assert (out, status) == ("", 1)
    assert "BACKCHECK_RELEASE=6.0: no such release" in error


def test_an_interrupt_ends_it_without_a_word(tmp_path: Path) -> None:
    process = start("io", folder=tmp_path, stdin=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.read(len("qemu-io> ")) == "qemu-io> "
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=DEADLINE_S)
    assert (out, error, process.returncode) == ("", "", -signal.SIGINT)


def test_nobody_reading_does_not_disturb_the_work(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    create = start("img", "create", "-f", "qcow2", "image", "4M", folder=tmp_path, stdout=writer)
    os.close(writer)
    _, error = create.communicate(timeout=DEADLINE_S)
    assert (error, create.returncode) == ("", 0)
    assert (tmp_path / "image").read_bytes()[:4] == b"QFI\xfb"


@pytest.mark.parametrize("output", [">/dev/full", ">&-", ">&- 2>&-"])
def test_no_room_for_words_does_not_disturb_the_work(tmp_path: Path, output: str) -> None:
    command = f"{sys.executable} -m backcheck_engine.tools.img create -f qcow2 image 4M {output}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=False, timeout=DEADLINE_S)
    assert (done.stderr, done.returncode) == (b"", 0)
    assert (tmp_path / "image").read_bytes()[:4] == b"QFI\xfb"


def test_a_bug_is_one_line_and_a_file(tmp_path: Path) -> None:
    broken = (
        "import sys; from backcheck_engine.tools import img; from backcheck_engine.tools import usage\n"
        "usage.parse_invocation = None; sys.argv = ['backcheck-img', 'info', 'x']; sys.exit(img.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", broken],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    (traceback,) = tmp_path.iterdir()
    assert done.stderr == f"backcheck-img: internal error, please report the traceback in {traceback}\n"
    assert (done.stdout, done.returncode) == ("", 70)
    assert "TypeError" in traceback.read_text()
