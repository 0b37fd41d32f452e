"""What is measured against each other: the bundled engine, and a QEMU."""

import compileall
import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A program with qemu-system's command line.

    name: what a table calls it; implementation: what `backcheck run --on` calls it.
    """

    name: str
    system: str
    implementation: str


def bundled_engine() -> Contestant:
    """The engine, as the console script beside this interpreter; with its byte code, which pip makes when it installs.

    A checkout that is installed editable has none yet, and an environment may forbid programs to leave it behind.
    """
    for package in ("backcheck_engine", "backcheck"):
        found = importlib.util.find_spec(package)
        for folder in (found and found.submodule_search_locations) or ():
            compileall.compile_dir(folder, quiet=2)
    script = Path(sys.executable).parent / "backcheck-engine"
    return Contestant(name="engine", system=str(script), implementation="engine")


def installed_qemu(path: str | None) -> Contestant:
    """The QEMU at `path`, else the one on PATH; ends the program when there is none."""
    system = shutil.which(path or "qemu-system-x86_64")
    if system is None:
        sys.exit(f"bench: {path or 'qemu-system-x86_64'}: no such program; install a QEMU or name one with --qemu")
    answer = subprocess.run([system, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"version (\d+\.\d+)", answer)
    name = f"QEMU {version[1]}" if version else "QEMU"
    return Contestant(name=name, system=system, implementation=system if path else "qemu")
