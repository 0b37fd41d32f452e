"""What came of running one case on one implementation and format."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from backcheck.transcript import Transcript


class Outcome(Enum):
    """How the run of a case ended, its golden not yet looked at: PASSED means that its own expectations hold."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CRASHED = "crashed"
    HUNG = "hung"
    BROKEN = "broken"
    """The case itself is wrong (UsageError, an exception in its code)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One run. `reason` is empty when it passed; `evidence` is the folder that holds what the run left."""

    number: str
    implementation: str
    release: str
    """`major.minor` of the QEMU release that the implementation greets with."""
    format: str
    outcome: Outcome
    transcript: Transcript
    duration_s: float
    reason: str = ""
    evidence: Path | None = None
