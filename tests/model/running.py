"""Running a program on an implementation, as the numbered case that it is."""

import shutil
import tempfile
from pathlib import Path

from backcheck.definition import load_case
from backcheck.golden.golden_file import Answer, answer_of
from backcheck.implementation import Implementation, find_implementation
from backcheck.running.result import CaseResult, Outcome
from backcheck.running.runner import run_case

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


def with_real_tools(implementation: Implementation) -> Implementation:
    """The same with the installed qemu-img and qemu-io as witnesses, where there are any."""
    if shutil.which("qemu-img") is None or shutil.which("qemu-system-x86_64") is None:
        return implementation
    return implementation.with_tools_of(find_implementation("qemu"))


def failure(result: CaseResult) -> str | None:
    """Why a program failed, or None."""
    return None if result.outcome is Outcome.PASSED else f"{result.outcome.value}: {result.reason}"
