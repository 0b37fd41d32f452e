"""Images upon images: many levels work, a chain that bites its own tail is one clear error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def tool(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"backcheck_engine.tools.{name}", *arguments]
    return subprocess.run(command, cwd=folder, timeout=60, check=False, capture_output=True, text=True)


def test_an_image_that_is_its_own_backing(tmp_path: Path) -> None:
    assert tool(tmp_path, "img", "create", "-q", "-f", "qcow2", "a", "1M").returncode == 0
    assert tool(tmp_path, "img", "rebase", "-u", "-f", "qcow2", "-b", "a", "-F", "qcow2", "a").returncode == 0
    result = tool(tmp_path, "img", "check", "-f", "qcow2", "a")
    assert result.returncode == 1
    assert result.stderr.endswith(": Could not open 'a': Could not open backing file: Too many levels of images\n")


def test_a_request_passes_many_levels(tmp_path: Path) -> None:
    levels = 150
    name = 'json:{"driver": "raw", "file": ' + '{"driver": "raw", "file": ' * levels
    name += '{"driver": "null-co", "read-zeroes": true}' + "}" * (levels + 1)
    result = tool(tmp_path, "io", "-r", "-c", "read -P 0 0 512", name)
    assert result.stdout.startswith("read 512/512 bytes at offset 0\n")
    assert result.stderr == ""
