"""Runs one case on one implementation and format, in a folder of its own, and says what came of it."""

import time
import traceback
from pathlib import Path

from backcheck.case import Case
from backcheck.definition import CaseDefinition
from backcheck.errors import CaseTimeout, ExpectationFailed, GoldenError, ImplementationError, UsageError
from backcheck.golden import guards
from backcheck.implementation import Implementation
from backcheck.running.result import CaseResult, Outcome
from backcheck.story.session import Session
from backcheck.transcript import Transcript


def why_not_run(definition: CaseDefinition, implementation: Implementation, format_name: str) -> str | None:
    """Why a case does not run there, or None: the format, a reason of its `not_on`, or what the build lacks."""
    if format_name not in definition.formats:
        return f"runs on {', '.join(definition.formats)} sources"
    for guard, reason in definition.not_on.items():
        if guards.holds(guard, implementation=implementation.name, release=implementation.release, format=format_name):
            return reason
    for capability in definition.requires:
        if missing := implementation.lacks(capability):
            return missing
    return None


def run_case(definition: CaseDefinition, implementation: Implementation, format_name: str, folder: Path) -> CaseResult:
    """Runs a case; any number may run at once, each in an empty folder of its own.

    The folder keeps what the run left: conversation.log, command, stderr, images; the caller removes it or keeps it as
    evidence. Raises nothing that is about the case.
    """
    started = time.monotonic()
    transcript = Transcript(keep_pairs=definition.keep_pairs)
    try:
        reason = why_not_run(definition, implementation, format_name)
        outcome = Outcome.PASSED if reason is None else Outcome.SKIPPED
        if reason is None:
            outcome, reason, transcript = _run(definition, implementation, format_name, folder)
    except (GoldenError, UsageError) as error:
        outcome, reason = Outcome.BROKEN, str(error)
    except CaseTimeout as error:
        outcome, reason = Outcome.HUNG, str(error)
    except ImplementationError as error:
        outcome, reason = Outcome.CRASHED, str(error)
    return CaseResult(
        number=definition.number,
        implementation=implementation.name,
        release=implementation.release,
        format=format_name,
        outcome=outcome,
        transcript=transcript,
        duration_s=time.monotonic() - started,
        reason=reason or "",
        evidence=folder if transcript.raw else None,
    )


def _run(
    definition: CaseDefinition, implementation: Implementation, format_name: str, folder: Path
) -> tuple[Outcome, str, Transcript]:
    session = Session(definition, implementation, format_name, folder)
    outcome, reason = Outcome.PASSED, ""
    try:
        case = Case(session)
        definition.run(case)
        case.finish()
    except ExpectationFailed as error:
        outcome, reason = Outcome.FAILED, str(error)
    except CaseTimeout as error:
        outcome, reason = Outcome.HUNG, f"{_line(definition, error)}: {error}"
    except ImplementationError as error:
        outcome, reason = Outcome.CRASHED, str(error)
    except UsageError as error:
        outcome, reason = Outcome.BROKEN, f"{_line(definition, error)}: {error}"
    except (Exception, SystemExit) as error:  # the case's own code; a bug in it is reported, and stops no other case
        outcome, reason = Outcome.BROKEN, f"{_line(definition, error)}: {type(error).__name__}: {error}"
        (folder / "traceback").write_text(traceback.format_exc())
    finally:
        session.close()
        session.machine.write_conversation()
    return outcome, reason, session.recorder.transcript(keep_pairs=definition.keep_pairs, paths=session.paths())


def _line(definition: CaseDefinition, error: BaseException) -> str:
    """The case's line that an exception came through."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(definition.path) and frame.lineno is not None
    ]
    return f"{definition.path.name}:{lines[-1]}" if lines else definition.path.name
