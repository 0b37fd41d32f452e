"""Running a program on an implementation, as the numbered case that it is."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from backcheck.definition import load_case
from backcheck.golden.golden_file import Answer, answer_of, compare_answers
from backcheck.implementation import Implementation, find_implementation
from backcheck.running.result import CaseResult, Outcome
from backcheck.running.runner import run_case
from tests.model.source import case_source
from tests.model.world import World

MEMORY = Path("/dev/shm")
"""Where flushing costs nothing, on Linux."""
CASE_NAME = "900_a_program_of_the_model.py"


def run_source(source: str, implementation: Implementation, folder: Path) -> CaseResult:
    """Runs the text of a case in a folder that is there and empty."""
    path = folder / CASE_NAME
    path.write_text(source)
    definition = load_case(path)
    files = folder / "files"
    files.mkdir()
    return run_case(definition, implementation, definition.formats[0], files)


def answers(source: str, implementation: Implementation) -> tuple[CaseResult, Answer]:
    """The result and the answer, in a folder of its own that goes again."""
    with tempfile.TemporaryDirectory(prefix="bc-model-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        result = run_source(source, implementation, Path(folder))
        return result, answer_of(result.transcript)


def differences(world: World, implementations: Sequence[Implementation]) -> list[str]:
    """What is wrong with a program: who failed it, and who answers otherwise than another of the same release."""
    source = case_source(world)
    complaints: list[str] = []
    told_before: dict[str, tuple[str, Answer]] = {}
    for implementation in implementations:
        result, answer = answers(source, implementation)
        name, first = told_before.setdefault(implementation.release, (implementation.name, answer))
        if result.outcome is not Outcome.PASSED:
            complaints.append(f"{implementation.name} {result.outcome.value}: {result.reason}")
        elif world.steady and (difference := compare_answers(first, answer)) is not None:
            complaints.append(f"{implementation.name} answers otherwise than {name}:\n{difference}")
    return complaints


def with_real_tools(implementation: Implementation) -> Implementation:
    """The same with the installed qemu-img and qemu-io as witnesses, where there are any."""
    if shutil.which("qemu-img") is None or shutil.which("qemu-system-x86_64") is None:
        return implementation
    return implementation.with_tools_of(find_implementation("qemu"))
