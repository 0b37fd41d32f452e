"""Reading the results of stories that tests run as cases."""

from backcheck.running.result import CaseResult, Outcome
from backcheck.transcript import Command, Entry, JobStatus


def passed(result: CaseResult) -> CaseResult:
    """The result, once it is seen that the story passed."""
    assert result.outcome is Outcome.PASSED, result.reason
    return result


def entries(result: CaseResult, title: str | None = None) -> list[Entry]:
    """The entries of a step."""
    return [entry for step in result.transcript.steps if step.title == title for entry in step.entries]


def statuses(result: CaseResult, title: str | None = None) -> list[str]:
    """The states that jobs told in a step."""
    return [entry.status for entry in entries(result, title) if isinstance(entry, JobStatus)]


def commands(result: CaseResult, title: str | None = None) -> list[Command]:
    """The commands of a step."""
    return [entry for entry in entries(result, title) if isinstance(entry, Command)]
