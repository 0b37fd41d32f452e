"""The file of `--expect-fail`: cases that somebody knows to fail on their build, and why.

    # on our tree, until the backport is in
    112                     the fix came with 8.0
    054[qemu-7.2]           on every format
    055[qemu-7.2-raw]       exactly this one

A case that is listed and passes is a failure too, so that the list stays true.
"""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from backcheck.errors import UsageError

_LINE = re.compile(r"(?P<number>\d{3,})(?:\[(?P<where>[^]\s]+)\])?(?:\s+(?P<reason>.+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFailure:
    """One line: a case, perhaps on one implementation, perhaps on one format of it."""

    number: str
    where: str | None
    reason: str

    def covers(self, number: str, implementation: str, format: str) -> bool:
        """Whether it speaks of this run."""
        return self.number == number and self.where in (None, implementation, f"{implementation}-{format}")


def read_expected_failures(path: Path, known: Container[str]) -> tuple[ExpectedFailure, ...]:
    """The lines of a file. Raises UsageError naming the one that is wrong, or whose case is not among the known."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"--expect-fail {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--expect-fail {path}: it is no text: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise UsageError(f"{path}:{number}: '{text}' is not as '112[qemu-7.2-raw] reason'")
        if match["number"] not in known:
            raise UsageError(f"{path}:{number}: there is no case {match['number']}")
        found.append(
            ExpectedFailure(number=match["number"], where=match["where"], reason=match["reason"] or "expected to fail")
        )
    return tuple(found)


def expected_reason(expected: Sequence[ExpectedFailure], number: str, implementation: str, format: str) -> str | None:
    """Why this run is expected to fail, or None when it is not."""
    return next((line.reason for line in expected if line.covers(number, implementation, format)), None)
