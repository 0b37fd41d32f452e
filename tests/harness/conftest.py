"""What tests of the harness share: a real QEMU, a program that plays one, and running a story as a case."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from backcheck.case import Case
from backcheck.definition import CaseDefinition
from backcheck.implementation import SYSTEM_NAME, Implementation, Program, find_implementation
from backcheck.running.result import CaseResult
from backcheck.running.runner import run_case

FAKE_MACHINE = Path(__file__).with_name("fake_machine.py")


@pytest.fixture(scope="session")
def qemu() -> Implementation:
    """The QEMU on PATH."""
    if shutil.which(SYSTEM_NAME) is None or shutil.which("qemu-img") is None:
        pytest.skip(f"there is no {SYSTEM_NAME} on PATH")
    return find_implementation("qemu")


@pytest.fixture
def fake() -> Implementation:
    """A program that speaks QMP and misbehaves on demand; see fake_machine.py."""
    program = Program(name="fake-machine", argv=(sys.executable, str(FAKE_MACHINE)))
    return Implementation(name="fake", version="7.2.0", system=program, img_program=program, io_program=program)


Story = Callable[[Case], None]
RunStory = Callable[..., CaseResult]


@pytest.fixture
def run_story(tmp_path: Path) -> RunStory:
    """`run_story(implementation, story)` runs a function as a case and returns its result."""
    count = 0

    def run(
        implementation: Implementation,
        story: Story,
        *,
        format_name: str = "qcow2",
        keep_pairs: bool = False,
        timeout_s: float = 30.0,
        requires: Sequence[str] = (),
    ) -> CaseResult:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        definition = CaseDefinition(
            run=story,
            path=Path(story.__code__.co_filename),
            number="900",
            slug="a-story",
            title="A story",
            rules=("EVT-02",),
            groups=frozenset(),
            formats=("qcow2", "raw"),
            requires=tuple(requires),
            not_on={},
            timeout_s=timeout_s,
            keep_pairs=keep_pairs,
        )
        return run_case(definition, implementation, format_name, folder)

    return run
