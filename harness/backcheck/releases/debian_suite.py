"""QEMU out of a Debian suite: which release the suite offers, and its programs unpacked into a folder.

apt does the work with folders of its own, so nothing is installed, nothing of the machine's package state is read or
changed, and no root is needed. What is unpacked runs with its own C library and modules. Where such folders are kept,
and under which names, is the business of ``releases``.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backcheck.errors import HarnessError

PACKAGES = ("qemu-system-x86", "qemu-utils")
PROGRAMS = ("qemu-system-x86_64", "qemu-img", "qemu-io", "qemu-nbd", "qemu-storage-daemon")
SYSTEM_PROGRAM = PROGRAMS[0]

MIRROR_VARIABLE = "BACKCHECK_DEBIAN_MIRROR"
ARCHIVE = "http://archive.debian.org/debian"
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)

# What no program here reads: documentation, translations, what other packages keep for their own daemons.
SURPLUS = ("etc", "var", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/icons", "usr/share/fonts")

ASK_TIMEOUT_S = 300
DOWNLOAD_TIMEOUT_S = 900
UNPACK_TIMEOUT_S = 300

WRAPPER = """\
#!/bin/sh
# Runs the unpacked {program} with its own C library and modules, wherever this folder is.
case $0 in /*) root=${{0%/*}}/../root ;; *) root=$PWD/${{0%/*}}/../root ;; esac
export QEMU_MODULE_DIR="$root/usr/lib/{triplet}/qemu"
exec "$root/{loader}" --library-path "$root/lib/{triplet}:$root/usr/lib/{triplet}" "$root/usr/bin/{program}"{data} "$@"
"""
FIRMWARE = ' -L "$root/usr/share/qemu" -L "$root/usr/share/seabios"'


class SuiteUnavailable(HarnessError):
    """The QEMU of a suite cannot be had here; the text is the reason, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianSuite:
    """One suite, and the folder in which apt keeps what it knows and downloaded of it.

    The folder outlives a failure, so that the next attempt goes on where this one stopped.
    """

    name: str
    folder: Path

    def ask_release(self) -> str:
        """The QEMU release that the suite offers now, without patch level: "10.0"."""
        self._update(find_mirrors())
        policy = self._apt("apt-cache", "policy", PACKAGES[0], timeout_s=ASK_TIMEOUT_S)
        candidate = re.search(r"Candidate: (?:\d+:)?(\d+\.\d+)", policy)
        if candidate is None:
            raise SuiteUnavailable(f"Debian {self.name} has no {PACKAGES[0]} for this architecture")
        return candidate[1]

    def unpack(self, folder: Path) -> None:
        """Download the programs, after ``ask_release``, and lay them out in `folder`: root/ and, to run them, bin/."""
        self._apt("apt-get", "install", "--yes", "--download-only", *PACKAGES, timeout_s=DOWNLOAD_TIMEOUT_S)
        root = folder / "root"
        root.mkdir(parents=True)
        for package in sorted((self.folder / "cache/archives").glob("*.deb")):
            run_tool(["dpkg-deb", "--extract", str(package), str(root)], timeout_s=UNPACK_TIMEOUT_S)
        for surplus in SURPLUS:
            shutil.rmtree(root / surplus, ignore_errors=True)
        write_wrappers(folder)

    def forget_downloads(self) -> None:
        """Give back the space; the suite would be asked and downloaded anew."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _update(self, mirrors: Sequence[str]) -> None:
        """Learn the suite's packages from the first mirror that has it; the first one's complaint when none has."""
        complaints = []
        for mirror in mirrors:
            self._describe_source(mirror)
            try:
                self._apt("apt-get", "update", "--error-on=any", timeout_s=ASK_TIMEOUT_S)
                return
            except SuiteUnavailable as complaint:
                complaints.append(complaint)
        raise complaints[0]

    def _describe_source(self, mirror: str) -> None:
        keyring = next((path for path in KEYRINGS if path.exists()), None)
        if keyring is None:
            raise SuiteUnavailable("Debian's keys are not on this machine (package debian-archive-keyring)")
        for needed in ("state/lists/partial", "cache/archives/partial"):
            (self.folder / needed).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "sources.list").write_text(f"deb [signed-by={keyring}] {mirror} {self.name} main\n")

    def _apt(self, program: str, *arguments: str, timeout_s: float) -> str:
        """Run one of apt's programs on this suite alone; an empty status file makes it fetch every dependency."""
        settings = {
            "Dir::State": self.folder / "state",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "Dir::Cache::archives": "archives",
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Debug::NoLocking": "true",
            "APT::Sandbox::User": "",
            "APT::Default-Release": "",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": "30",
        }
        options = [text for key, value in settings.items() for text in ("-o", f"{key}={value}")]
        return run_tool([program, "-q", *options, *arguments], timeout_s=timeout_s)


def find_mirrors() -> list[str]:
    """Where to ask: the mirror that BACKCHECK_DEBIAN_MIRROR names, else this machine's own, then Debian's archive."""
    named = os.environ.get(MIRROR_VARIABLE)
    if named:
        return [named]
    sites = run_tool(["apt-get", "indextargets", "--format", "$(SITE)"], timeout_s=ASK_TIMEOUT_S).split()
    own = next((site for site in sites if site.rstrip("/").endswith("/debian")), None)
    if own is None:
        raise SuiteUnavailable(f"no Debian mirror among this machine's apt sources ({MIRROR_VARIABLE} may name one)")
    return [own, ARCHIVE]


def write_wrappers(folder: Path) -> None:
    """Write bin/PROGRAM for every program that root/ has."""
    root = folder / "root"
    loaders = [path for parent in ("lib", "usr/lib") for path in root.glob(f"{parent}/*-linux-*/ld-linux*.so.*")]
    loader = next((path for path in loaders if path.exists()), None)
    if loader is None:
        raise SuiteUnavailable("the unpacked packages have no dynamic loader")
    (folder / "bin").mkdir()
    for program in PROGRAMS:
        if not (root / "usr/bin" / program).exists():
            continue
        wrapper = folder / "bin" / program
        wrapper.write_text(
            WRAPPER.format(
                program=program,
                triplet=loader.parent.name,
                loader=loader.relative_to(root),
                data=FIRMWARE if program == SYSTEM_PROGRAM else "",
            )
        )
        wrapper.chmod(0o755)


def run_tool(command: Sequence[str], *, timeout_s: float) -> str:
    """The standard output of a program that Debian has; SuiteUnavailable with its last complaint when it fails."""
    program = command[0]
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment,
            check=True,
        )
    except FileNotFoundError as error:
        raise SuiteUnavailable(f"there is no {program} here: releases are unpacked from Debian's packages") from error
    except subprocess.TimeoutExpired as error:
        raise SuiteUnavailable(f"{program} took longer than {timeout_s:.0f} s") from error
    except subprocess.CalledProcessError as error:
        complaints = [line for line in error.stderr.splitlines() if line.startswith(("E:", "W:", "dpkg-deb:"))]
        reason = complaints[0] if complaints else f"exit status {error.returncode}"
        raise SuiteUnavailable(f"{program}: {reason}") from error
    return done.stdout
