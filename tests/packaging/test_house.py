"""The house keeps its rules: what every source file has, what none has, and which way imports go."""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ENGINE = PROJECT / "engine/backcheck_engine"
HARNESS = PROJECT / "harness/backcheck"
SOURCES = sorted(
    path for top in ("engine", "harness", "cases", "bench", ".ci") for path in (PROJECT / top).rglob("*.py")
)
TEXTS = sorted(
    path
    for pattern in ("*.md", "*.toml", "*.ini", ".ci/*", ".github/**/*.yml", "cases/*", "golden/*")
    for path in PROJECT.glob(pattern)
    if path.is_file()
)

LONGEST = 450
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
PUBLIC_HOSTS = {"archive.debian.org", "github.com", "www.qemu.org", "qemu.org", "docs.pytest.org", "pypi.org"}
URL_HOST = re.compile(r"https?://([A-Za-z0-9.-]+\.[a-z]{2,})")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_source_file(path: Path) -> None:
    text = path.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), "a module says what lives here"
    assert text.count("\n") <= LONGEST, "one idea a module"
    assert path.stem not in NO_NAMES
    assert not UNFINISHED.search(text)


@pytest.mark.parametrize("path", [*SOURCES, *TEXTS], ids=name_of)
def test_every_host_is_public(path: Path) -> None:
    hosts = set(URL_HOST.findall(path.read_text()))
    assert not {host for host in hosts if host not in PUBLIC_HOSTS and not host.endswith((".example", "example.com"))}


# What each part of the engine may import, besides itself and what is beside all.
BESIDE_ALL = {
    "address",
    "complaints",
    "errors",
    "identifier",
    "json_value",
    "qapi",
    "quick_start",
    "release",
    "standard_streams",
    "tracing",
    "version",
}
ARROWS = {
    "block": set(),
    "nbd": {"block"},
    "drivers": {"block", "nbd"},
    "qemu_io": {"block", "drivers"},
    "tools": {"block", "drivers", "jobs", "nbd", "qemu_io", "commandline"},
    "jobs": {"block", "drivers"},
    "devices": {"block"},
    "monitor": {"block", "devices", "drivers", "jobs", "nbd", "qemu_io"},
    "commandline": {"block.options", "devices.models", "drivers.registry"},
    "machine": {"block", "devices", "drivers", "jobs", "monitor", "commandline"},
    "__main__": {"machine", "commandline"},
    "address": set(),
    "complaints": set(),
    "errors": set(),
    "identifier": set(),
    "json_value": set(),
    "qapi": set(),
    "quick_start": set(),
    "release": set(),
    "standard_streams": set(),
    "tracing": set(),
    "version": set(),
}


def imported_modules(path: Path) -> set[str]:
    """Dotted names of what a file imports, late imports too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def is_within(module: str, parts: set[str]) -> bool:
    """Whether a module of the engine is one of the parts, or in one."""
    return any(f"{module}.".startswith(f"backcheck_engine.{part}.") for part in parts)


def part_of(path: Path) -> str:
    """The first name below the engine's package, without .py."""
    return path.relative_to(ENGINE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("part", sorted({part_of(path) for path in ENGINE.rglob("*.py")} - {"__init__"}))
def test_arrows_go_down_only(part: str) -> None:
    assert part in ARROWS, "a new part of the engine says here what it may import"
    allowed = {part} | ARROWS[part] | BESIDE_ALL
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in ENGINE.rglob("*.py")
        if part_of(path) == part
        for module in imported_modules(path)
        if module.startswith("backcheck_engine.") and not is_within(module, allowed)
    ]
    assert not wrong


def test_engine_knows_no_harness() -> None:
    imports = {module.split(".")[0] for path in ENGINE.rglob("*.py") for module in imported_modules(path)}
    assert "backcheck" not in imports


def test_harness_knows_the_engine_in_one_module() -> None:
    knowing = {
        name_of(path)
        for path in HARNESS.rglob("*.py")
        for module in imported_modules(path)
        if module.split(".")[0] == "backcheck_engine"
    }
    assert len(knowing) <= 1
