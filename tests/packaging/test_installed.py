"""What a user gets: built, installed into an empty environment, run in an empty folder.

The way is sdist, wheel out of the sdist, environment; with the pip that Python itself brings.
"""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FIRST_CASE = "001"

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("installed")]


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run in `folder`, with nothing of this environment's Python settings; its output on failure."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "TOX"))}
    done = subprocess.run(
        command, cwd=folder, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that can build: its programs."""
    folder = tmp_path_factory.mktemp("builder")
    venv.create(folder, with_pip=True, symlinks=True)
    run(folder / "bin/pip", "install", "-q", "hatchling", folder=folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def sdist(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(builder / "hatchling", "build", "-t", "sdist", "-d", folder, folder=PROJECT)
    [archive] = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(builder: Path, sdist: Path) -> Path:
    folder = sdist.parent
    run(builder / "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, sdist, folder=folder)
    [archive] = folder.glob("*.whl")
    return archive


@pytest.fixture(scope="module")
def installed(builder: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that had nothing before."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    run(builder / "pip", "--python", folder / "bin/python", "install", "-q", wheel, folder=folder)
    return folder / "bin"


def test_wheel_carries_cases_goldens_and_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tracked = {f"backcheck/{path.parent.name}/{path.name}" for path in PROJECT.glob("cases/*.*") if path.is_file()}
    tracked |= {f"backcheck/golden/{path.name}" for path in PROJECT.glob("golden/*.out")}
    assert tracked
    assert tracked <= names
    assert {"backcheck/py.typed", "backcheck_engine/py.typed"} <= names
    assert not {name.split("/")[0] for name in names} - {"backcheck", "backcheck_engine"} - dist_info(names)


def dist_info(names: set[str]) -> set[str]:
    return {name.split("/")[0] for name in names if ".dist-info/" in name}


def test_case_passes_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "backcheck", "run", FIRST_CASE, folder=tmp_path)
    assert f"{FIRST_CASE}[engine-" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {"backcheck-results"}


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU is installed")
def test_case_passes_on_a_program_by_its_path(installed: Path, tmp_path: Path) -> None:
    program = shutil.which("qemu-system-x86_64")
    assert program
    run(installed / "backcheck", "run", FIRST_CASE, "--on", program, folder=tmp_path)


@pytest.mark.parametrize("program", ["backcheck", "backcheck-engine", "backcheck-img", "backcheck-io"])
def test_program_tells_its_version(installed: Path, tmp_path: Path, program: str) -> None:
    assert run(installed / program, "--version", folder=tmp_path).stdout.strip()


def test_other_projects_sessions_are_left_alone(installed: Path, tmp_path: Path) -> None:
    """The plugin is there in every session of the environment, and collects nothing unless asked."""
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    (tmp_path / "001_not_a_case.py").write_text("raise RuntimeError('collected')\n")
    done = run(installed / "python", "-m", "pytest", "-q", "-W", "error", "--strict-config", folder=tmp_path)
    assert "1 passed" in done.stdout


def test_version_is_the_one_of_the_project(wheel: Path) -> None:
    assert sys.version_info >= (3, 11)
    assert f'version = "{wheel.name.split("-")[1]}"' in (PROJECT / "pyproject.toml").read_text()
