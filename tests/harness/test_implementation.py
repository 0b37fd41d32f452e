"""Finding implementations by name, and what they are."""

import os
import sys
from pathlib import Path

import pytest

from backcheck.errors import UsageError
from backcheck.implementation import ENGINE_RELEASES, SYSTEM_NAME, Implementation, find_implementation
from tests.harness.conftest import FAKE_MACHINE


def make_program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """A folder of programs that say they are QEMU 8.2."""
    folder = tmp_path / "bin"
    folder.mkdir()
    make_program(folder / SYSTEM_NAME, "echo 'QEMU emulator version 8.2.4 (Debian 1:8.2.4+ds-1)'")
    make_program(folder / "qemu-img", "echo img $@")
    make_program(folder / "qemu-io", "echo io $@")
    return folder


def test_a_path(unpacked: Path, tmp_path: Path) -> None:
    found = find_implementation(str(unpacked / SYSTEM_NAME))
    assert (found.name, found.version, found.release, found.is_engine) == ("qemu-8.2", "8.2.4", "8.2", False)
    assert found.img("check", "x y", cwd=tmp_path).stdout == "img check x y\n"
    assert found.io("-c", "read 0 1", cwd=tmp_path).stdout == "io -c read 0 1\n"


def test_the_one_on_path(qemu: Implementation) -> None:
    assert qemu.name == f"qemu-{qemu.release}"
    assert qemu.system.argv[0].endswith(SYSTEM_NAME)


def test_a_release_in_the_cache(unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache/backcheck/qemu-8.2"
    cache.mkdir(parents=True)
    unpacked.rename(cache / "bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find_implementation("qemu-8.2").version == "8.2.4"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "nonsense: no such implementation"),
        ("/no/such/qemu-system-x86_64", "/no/such/qemu-system-x86_64: there is no such file"),
        ("/etc/passwd", "/etc/passwd: is no program"),
        ("./", "is no program"),
        ("qemu-3.1", "qemu-3.1: not in "),
        ("engine-3.1", "the engine shows the release 5.2, 7.2, 10.0, 11.1, not 3.1"),
    ],
)
def test_names_that_mean_nothing(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_implementation(name)


def test_no_qemu_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=f"qemu: there is no {SYSTEM_NAME} on PATH"):
        find_implementation("qemu")


@pytest.mark.parametrize("answer", ["echo hello; echo world", "echo broken >&2; exit 1", "echo >&2"])
def test_a_program_that_tells_no_version(unpacked: Path, answer: str) -> None:
    program = make_program(unpacked / SYSTEM_NAME, answer)
    with pytest.raises(UsageError, match=r"tells no version of QEMU: (hello|broken|nothing)$"):
        find_implementation(str(program))


def test_a_program_without_tools(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (unpacked / "qemu-io").unlink()
    monkeypatch.setenv("PATH", "/bin" if not Path("/bin/qemu-io").exists() else str(unpacked))
    with pytest.raises(UsageError, match="there is no qemu-io beside it nor on PATH"):
        find_implementation(str(unpacked / SYSTEM_NAME))


def test_tools_that_are_not_beside_it_are_told(unpacked: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (unpacked / "qemu-io").rename(elsewhere / "qemu-io")
    monkeypatch.setenv("PATH", f"{elsewhere}:{os.environ['PATH']}")
    place = find_implementation(str(unpacked / SYSTEM_NAME)).place
    assert place.startswith(f"{unpacked / SYSTEM_NAME}, with {elsewhere}/qemu-io")
    assert "qemu-img" not in place


def test_a_wrapper_goes_before_the_system_program(fake: Implementation, tmp_path: Path) -> None:
    script = make_program(tmp_path / "wrap", 'echo "$@" >wrapped; exec "$@"')
    wrapped = fake.wrapped(f"{script} --args")
    with open(os.devnull, "r+b") as null:
        descriptors = dict.fromkeys(range(3), null.fileno())
        make_program(tmp_path / "wrap", 'shift; echo "$@" >wrapped; exec "$@"')
        process = wrapped.start(["--version"], cwd=tmp_path, descriptors=descriptors)
        assert process.wait(30) == 0
    assert (tmp_path / "wrapped").read_text().split() == [sys.executable, str(FAKE_MACHINE), "--version"]


def test_other_tools_can_be_mixed_in(fake: Implementation, unpacked: Path, tmp_path: Path) -> None:
    mixed = fake.with_tools_of(find_implementation(str(unpacked / SYSTEM_NAME)))
    assert mixed.system == fake.system
    assert mixed.img("x", cwd=tmp_path).stdout == "img x\n"


@pytest.mark.parametrize("release", ENGINE_RELEASES)
def test_the_engine_shows_the_release_it_is_named_after(release: str) -> None:
    found = find_implementation(f"engine-{release}")
    assert (found.name, found.version) == (f"engine-{release}", f"{release}.0")
