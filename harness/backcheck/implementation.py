"""What is tested: a set of programs with QEMU's command lines, their version, and what they can do.

An implementation is an adapter of five methods: `start` (the system program), `img`, `io`, `has` (a capability) and
`release`. Names: `engine` (the bundled programs), `engine-7.2` (the same, showing that release), `qemu` (on PATH),
`qemu-5.2` (in the cache of releases), or a path to a `qemu-system-*` program.
"""

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backcheck import releases
from backcheck.errors import ImplementationError, UsageError
from backcheck.programs import processes
from backcheck.programs.processes import Finished, Process

SYSTEM_NAME = "qemu-system-x86_64"
RELEASE_VARIABLE = "BACKCHECK_RELEASE"
ENGINE_RELEASES = ("5.2", "7.2", "10.0", "11.1")
TOOL_TIMEOUT_S = 60.0
NO_MACHINE = ("-machine", "none", "-nodefaults", "-display", "none", "-S")
"""What starts every release without a guest, also builds that have no qtest accelerator."""

_VERSION = re.compile(r"version (\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program: its name, the argv that runs it, and for a bundled one the module whose `main()` it is.

    A bundled one is started from a process that has the module loaded already, unless there is a wrapper.
    """

    name: str
    argv: tuple[str, ...]
    module: str | None = None

    def command(self, arguments: Sequence[str], wrapper: Sequence[str] = ()) -> tuple[list[str], str | None]:
        """What processes.start() gets: argv and module."""
        if self.module is None or wrapper:
            return [*wrapper, *self.argv, *arguments], None
        return [self.name, *arguments], self.module


def _bundled(name: str, runnable: str, module: str) -> Program:
    """A bundled program; `runnable` is what `python -m` takes."""
    return Program(name=name, argv=(sys.executable, "-m", runnable), module=module)


ENGINE_SYSTEM = _bundled("backcheck-engine", "backcheck_engine", "backcheck_engine.__main__")
ENGINE_IMG = _bundled("backcheck-img", "backcheck_engine.tools.img", "backcheck_engine.tools.img")
ENGINE_NBD = _bundled("backcheck-nbd", "backcheck_engine.tools.nbd", "backcheck_engine.tools.nbd")
ENGINE_IO = _bundled("backcheck-io", "backcheck_engine.tools.io", "backcheck_engine.tools.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation:
    """The programs under test.

    name: as in test ids and goldens, `engine` or `qemu-7.2`. version: `7.2.22`, as its system program says.
    env: what is added to the environment of each program. wrapper: put before the system program's argv, as `gdb
    --args`.
    """

    name: str
    version: str
    system: Program
    img_program: Program
    io_program: Program
    nbd_program: Program | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    _capabilities: dict[str, str | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def release(self) -> str:
        """`major.minor` of its version."""
        major, minor, _ = self.version.split(".")
        return f"{major}.{minor}"

    @property
    def place(self) -> str:
        """Where its system program is, for a person, and its tools when they are not beside it."""
        if self.is_engine:
            return "bundled"
        system = Path(self.system.argv[0])
        tools = [each.argv[0] for each in (self.img_program, self.io_program, self.nbd_program) if each is not None]
        elsewhere = [tool for tool in tools if Path(tool).parent != system.parent]
        return f"{system}, with {', '.join(elsewhere)}" if elsewhere else str(system)

    @property
    def is_engine(self) -> bool:
        return self.system.module is not None

    def start(self, arguments: Sequence[str], *, cwd: Path, descriptors: Mapping[int, int]) -> Process:
        """Starts the system program; descriptors as in processes.start()."""
        argv, module = self.system.command(arguments, self.wrapper)
        return processes.start(
            self.system.name, argv, cwd=cwd, env=self._environment(), descriptors=descriptors, module=module
        )

    def start_nbd(self, arguments: Sequence[str], *, cwd: Path, descriptors: Mapping[int, int]) -> Process:
        """Starts the NBD server program. Raises UsageError when there is none: `requires=["nbd-server"]`."""
        if self.nbd_program is None:
            raise UsageError(f"{self.name} has no NBD server program")
        argv, module = self.nbd_program.command(arguments)
        return processes.start(
            self.nbd_program.name, argv, cwd=cwd, env=self._environment(), descriptors=descriptors, module=module
        )

    def img(self, *arguments: str, cwd: Path) -> Finished:
        """Runs the image tool to its end, whatever its exit status. Raises CaseTimeout."""
        return self._run(self.img_program, arguments, cwd)

    def io(self, *arguments: str, cwd: Path) -> Finished:
        """Runs the I/O tool to its end, whatever its exit status. Raises CaseTimeout."""
        return self._run(self.io_program, arguments, cwd)

    def lacks(self, capability: str) -> str | None:
        """Why it cannot do something, or None when it can.

        capability: `zstd`, `nbd-server`, `tool:NAME` (on PATH), `driver:NAME`, `command:NAME`,
        `argument:COMMAND.NAME`.
        Each is asked of the programs once. Raises UsageError for another kind of capability.
        """
        from backcheck.programs.capabilities import (
            why_missing,  # it starts implementations, as this module describes them
        )

        if capability not in self._capabilities:
            self._capabilities[capability] = why_missing(self, capability)
        return self._capabilities[capability]

    def wrapped(self, wrapper: str) -> "Implementation":
        """The same, its system program started through a command, as `gdb --args`. Raises UsageError."""
        try:
            words = tuple(shlex.split(wrapper))
        except ValueError as error:
            raise UsageError(f"--wrapper {wrapper}: {str(error).lower()}") from error
        if not words:
            raise UsageError("--wrapper: give a command, as 'gdb --args'")
        found = shutil.which(words[0])
        if found is None:
            raise UsageError(f"--wrapper {wrapper}: there is no program {words[0]}")
        return replace(self, wrapper=(os.path.abspath(found), *words[1:]))

    def with_tools_of(self, other: "Implementation") -> "Implementation":
        """The same system program with another implementation's tools; a cross-check of both."""
        return replace(self, img_program=other.img_program, io_program=other.io_program, nbd_program=other.nbd_program)

    def _run(self, program: Program, arguments: Sequence[str], cwd: Path) -> Finished:
        argv, module = program.command(arguments)
        finished = processes.run_to_end(
            program.name, argv, cwd=cwd, env=self._environment(), module=module, timeout_s=TOOL_TIMEOUT_S
        )
        if finished.status < 0:
            raise ImplementationError(
                f"{shlex.join([program.name, *arguments])} was killed by signal {-finished.status}",
                finished.stderr.splitlines()[-10:],
            )
        return finished

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.env}


def find_implementation(name: str) -> Implementation:
    """The implementation of that name (see above). Raises UsageError when it is not there or tells no version."""
    if name == "engine":
        return _engine(os.environ.get(RELEASE_VARIABLE))
    if name.startswith("engine-"):
        return _engine(name.removeprefix("engine-"))
    return _qemu(_system_program(name))


def _engine(release: str | None) -> Implementation:
    if release is not None and release not in ENGINE_RELEASES:
        raise UsageError(f"the engine shows the release {', '.join(ENGINE_RELEASES)}, not {release}")
    return _with_version(
        Implementation(
            name="engine" if release is None else f"engine-{release}",
            version="",
            system=ENGINE_SYSTEM,
            img_program=ENGINE_IMG,
            io_program=ENGINE_IO,
            nbd_program=ENGINE_NBD,
            env={} if release is None else {RELEASE_VARIABLE: release},
        )
    )


def _system_program(name: str) -> Path:
    if name == "qemu":
        found = shutil.which(SYSTEM_NAME)
        if found is None:
            raise UsageError(f"qemu: there is no {SYSTEM_NAME} on PATH")
        return Path(found)
    if match := re.fullmatch(r"qemu-(\d+\.\d+)", name):
        folder = releases.find_release(match[1])
        if folder is not None:
            return folder / "bin" / SYSTEM_NAME
        installed = shutil.which(SYSTEM_NAME)
        if installed is not None and _qemu(Path(installed)).release == match[1]:
            return Path(installed)
        raise UsageError(f"{name}: {releases.why_missing(match[1])}")
    if "/" in name:
        return _executable(Path(name))
    raise UsageError(
        f"{name}: no such implementation; there are engine, engine-RELEASE, qemu, qemu-RELEASE "
        f"and the path of a qemu-system program"
    )


def _executable(path: Path) -> Path:
    if not path.exists():
        raise UsageError(f"{path}: there is no such file; give the path of a qemu-system program")
    if not path.is_file() or not os.access(path, os.X_OK):
        raise UsageError(f"{path}: is no program; give the path of a qemu-system program")
    return path.absolute()


def _qemu(path: Path) -> Implementation:
    found = _with_version(
        Implementation(
            name="",
            version="",
            system=Program(name=path.name, argv=(str(path),)),
            img_program=_tool_beside(path, "qemu-img"),
            io_program=_tool_beside(path, "qemu-io"),
            nbd_program=_optional_tool_beside(path, "qemu-nbd"),
        )
    )
    return replace(found, name=f"qemu-{found.release}")


def _optional_tool_beside(system: Path, name: str) -> Program | None:
    beside = system.with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    return None if found is None else Program(name=name, argv=(found,))


def _tool_beside(system: Path, name: str) -> Program:
    found = _optional_tool_beside(system, name)
    if found is None:
        raise UsageError(f"{system}: there is no {name} beside it nor on PATH")
    return found


def _with_version(implementation: Implementation) -> Implementation:
    program = implementation.system
    with tempfile.TemporaryDirectory() as folder:
        answer = implementation._run(program, ["--version"], Path(folder))
    match = _VERSION.search(answer.stdout)
    if match is None:
        said = [line for line in (answer.stderr or answer.stdout).splitlines() if line.strip()]
        raise UsageError(f"{program.argv[0]} --version tells no version of QEMU: {said[0] if said else 'nothing'}")
    return replace(implementation, version=".".join(match.groups()))
