"""The tools under test and the real ones, run the same way: arguments, a folder, and what they printed and returned.

The bundled tools are forked from one process that has loaded them, since a cold interpreter for each of several hundred
commands would take minutes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from backcheck import releases

RELEASES = ("5.2", "7.2", "10.0", "11.1")
DEADLINE_S = 30
NAMES = {"img": "qemu-img", "io": "qemu-io"}
_TIMING = re.compile(r"; .* \(.*/sec and .* ops/sec\)$|(?<=^\d)\d*,1,[\d:.,]+$", re.MULTILINE)

_FORKING = """
import importlib, json, os, sys
import asyncio
from backcheck_engine import release
modules = {name: importlib.import_module(f"backcheck_engine.tools.{name}") for name in ("img", "io", "io_session")}
for name in modules["img"].SUMMARIES:
    modules["img"].load(name)
for name in ("creation", "format.qcow2.driver", "format.raw", "protocol.file"):
    importlib.import_module(f"backcheck_engine.drivers.{name}")
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(request["folder"])
        for number, (name, flags) in enumerate(
            (("in", os.O_RDONLY), ("out", os.O_WRONLY | os.O_CREAT), ("err", os.O_WRONLY | os.O_CREAT))
        ):
            os.dup2(os.open(request[name], flags), number)
        sys.stdin = open(0, closefd=False)
        os.environ["BACKCHECK_RELEASE"] = request["release"]
        release.current.cache_clear()
        sys.argv = [f"backcheck-{request['tool']}", *request["arguments"]]
        status = modules[request["tool"]].main()
        sys.stdout.flush()
        os._exit(status)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps(ended), flush=True)
"""


@dataclass(frozen=True)
class Answer:
    """What a program printed and returned, without timings and without its own name."""

    out: str
    error: str
    status: int


def _plain(text: str) -> str:
    text = re.sub(r"\b(backcheck|qemu)-(img|io)\b", "TOOL", text)
    text = re.sub(r"[^\s']*/TOOL\b", "TOOL", text)
    return _TIMING.sub("", text)


class Bundled:
    """The engine's tools."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._forking = subprocess.Popen(
            [sys.executable, "-c", _FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, tool: str, arguments: Sequence[str], folder: Path, release: str, stdin: str = "") -> Answer:
        """Run a tool as it behaves for `release`."""
        paths = {name: self._scratch / name for name in ("in", "out", "err")}
        for name, path in paths.items():
            path.unlink(missing_ok=True)
            path.write_text(stdin if name == "in" else "")
        request = {"tool": tool, "arguments": list(arguments), "folder": str(folder), "release": release}
        assert self._forking.stdin is not None
        assert self._forking.stdout is not None
        self._forking.stdin.write(json.dumps(request | {name: str(path) for name, path in paths.items()}) + "\n")
        self._forking.stdin.flush()
        status = json.loads(self._forking.stdout.readline())
        return Answer(
            _plain(paths["out"].read_text(errors="surrogateescape")),
            _plain(paths["err"].read_text(errors="surrogateescape")),
            status,
        )

    def close(self) -> None:
        """End the process that forks."""
        assert self._forking.stdin is not None
        assert self._forking.stdout is not None
        self._forking.stdin.close()
        self._forking.wait(DEADLINE_S)
        self._forking.stdout.close()


class Real:
    """The tools of an installed or unpacked QEMU."""

    def __init__(self, release: str) -> None:
        self.release = release
        folder = releases.find_release(release)
        self._programs = {
            tool: str(folder / "bin" / name) if folder is not None else shutil.which(name)
            for tool, name in NAMES.items()
        }
        if folder is None and not self._is_installed(release):
            pytest.skip(releases.why_missing(release))

    def _is_installed(self, release: str) -> bool:
        program = self._programs["img"]
        if program is None or self._programs["io"] is None:
            return False
        return f"version {release}." in subprocess.check_output([program, "--version"], text=True)

    def run(self, tool: str, arguments: Sequence[str], folder: Path, stdin: str = "") -> Answer:
        """Run a tool."""
        program = self._programs[tool]
        assert program is not None
        done = subprocess.run(
            [program, *arguments],
            cwd=folder,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        return Answer(_plain(done.stdout), _plain(done.stderr), done.returncode)

    def do(self, tool: str, *arguments: str, folder: Path) -> str:
        """Run a tool that has to succeed; its output."""
        answer = self.run(tool, arguments, folder)
        assert answer.status == 0, f"{tool} {arguments}: {answer}"
        return answer.out
