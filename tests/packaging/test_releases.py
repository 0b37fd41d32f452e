"""The cache of QEMU releases: what is found there, what a failure leaves, and that two do not fill it at once."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from backcheck import releases
from backcheck.releases import debian_suite
from backcheck.releases.debian_suite import DebianSuite, SuiteUnavailable

NOBODY_LISTENS = "http://127.0.0.1:9/debian"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "backcheck"


class PretendSuites:
    """Suites that answer at once: what each offers, which ones were asked, which ones unpacked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, offers: dict[str, str], reported: str | None = None) -> None:
        self.asked: list[str] = []
        self.unpacked: list[str] = []

        def ask_release(suite: DebianSuite) -> str:
            self.asked.append(suite.name)
            if suite.name not in offers:
                raise SuiteUnavailable("no network")
            return offers[suite.name]

        def unpack(suite: DebianSuite, folder: Path) -> None:
            self.unpacked.append(suite.name)
            program = folder / "bin" / debian_suite.SYSTEM_PROGRAM
            program.parent.mkdir(parents=True)
            program.write_text(
                f"#!/bin/sh\necho QEMU emulator version {reported or offers[suite.name]}.7 '(pretended)'\n"
            )
            program.chmod(0o755)

        monkeypatch.setattr(DebianSuite, "ask_release", ask_release)
        monkeypatch.setattr(DebianSuite, "unpack", unpack)


def test_release_is_fetched_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suites = PretendSuites(monkeypatch, {"trixie": "10.0"})
    assert releases.find_release("10.0") is None
    assert str(cache) in releases.why_missing("10.0")
    lines: list[str] = []
    assert releases.fetch(["10.0"], lines.append) == []
    assert releases.fetch(["10.0"], lines.append) == []
    assert (suites.asked, suites.unpacked) == (["trixie"], ["trixie"])
    assert releases.find_release("10.0") == cache / "qemu-10.0"
    assert lines[-1] == f"QEMU 10.0: {cache}/qemu-10.0"


def test_suite_that_moved_on_is_not_taken_for_what_it_was(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offers = {"sid": "12.0", "bullseye": "5.2", "bookworm": "7.2", "trixie": "10.0", "forky": "11.1"}
    suites = PretendSuites(monkeypatch, offers)
    assert releases.fetch(["11.1"], lambda line: None) == []
    assert suites.unpacked == ["forky"]
    assert (cache / "qemu-11.1/bin/qemu-system-x86_64").exists()
    assert not (cache / "qemu-12.0").exists()


def test_release_that_no_suite_offers_is_missing_with_the_reason(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PretendSuites(monkeypatch, dict.fromkeys(releases.SUITES, "7.2"))
    assert releases.fetch(["9.9"], lambda line: None) == ["9.9"]
    assert releases.why_missing("9.9").startswith("no Debian suite offers it now (bullseye 7.2, ")


def test_name_is_what_the_program_reports(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PretendSuites(monkeypatch, {"trixie": "10.0"}, reported="10.1")
    assert releases.fetch(["10.0"], lambda line: None) == ["10.0"]
    assert releases.find_release("10.1")
    assert releases.why_missing("10.0") == "Debian trixie called it QEMU 10.0, the program does not"


def test_success_forgets_an_earlier_reason(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PretendSuites(monkeypatch, {})
    assert releases.fetch(["5.2"], lambda line: None) == ["5.2"]
    assert releases.why_missing("5.2") == "no network"
    PretendSuites(monkeypatch, {"bullseye": "5.2"})
    assert releases.fetch(["5.2"], lambda line: None) == []
    assert not list(cache.glob("*.missing"))


def test_interrupted_unpacking_leaves_no_release(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PretendSuites(monkeypatch, {"trixie": "10.0"})

    def interrupted(suite: DebianSuite, folder: Path) -> None:
        (folder / "bin").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(DebianSuite, "unpack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        releases.fetch(["10.0"], lambda line: None)
    assert releases.find_release("10.0") is None
    assert not list(cache.glob("*unpacking*"))


def test_second_filler_waits_for_the_first(cache: Path) -> None:
    cache.mkdir()
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = main_process(["10.0"], {"BACKCHECK_DEBIAN_MIRROR": NOBODY_LISTENS, "PATH": ""})
        assert process.stdout
        assert process.stdout.readline() == "another process is filling the cache: waiting for it\n"
    output, _ = process.communicate()
    assert output.startswith("QEMU 10.0: asking Debian trixie\nQEMU 10.0: missing: ")
    assert process.returncode == 1


def test_machine_without_apt_gets_a_reason(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BACKCHECK_DEBIAN_MIRROR", raising=False)
    monkeypatch.setenv("PATH", "")
    assert releases.fetch(["5.2"], lambda line: None) == ["5.2"]
    assert releases.why_missing("5.2") == "there is no apt-get here: releases are unpacked from Debian's packages"


def test_folder_that_cannot_be_written_gets_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backcheck").write_text("a file where the cache should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lines: list[str] = []
    assert releases.fetch(["5.2"], lines.append) == ["5.2"]
    assert "QEMU 5.2: missing: " in lines[0]


def test_argument_that_is_no_release_is_refused(cache: Path) -> None:
    process = main_process(["newest"], {})
    _, complaint = process.communicate()
    assert process.returncode == 2
    assert complaint.endswith("argument release: 'newest' is not a release such as 10.0\n")


def main_process(arguments: Sequence[str], settings: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "backcheck.releases", *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_wrapper_runs_the_program_with_its_own_library_path(tmp_path: Path) -> None:
    """The loader is pretended: it shows how it was called, from wherever the folder was moved to."""
    before = tmp_path / "before"
    loader = before / "root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    program = before / "root/usr/bin/qemu-img"
    for path in (loader, program):
        path.parent.mkdir(parents=True)
        path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        path.chmod(0o755)
    debian_suite.write_wrappers(before)
    assert [path.name for path in (before / "bin").iterdir()] == ["qemu-img"]
    folder = before.rename(tmp_path / "after it moved")
    root = f"{folder}/bin/../root"
    library_path = f"{root}/lib/x86_64-linux-gnu:{root}/usr/lib/x86_64-linux-gnu"
    shown = subprocess.run([folder / "bin/qemu-img", "info", "a b"], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == ["--library-path", library_path, f"{root}/usr/bin/qemu-img", "info", "a b"]
