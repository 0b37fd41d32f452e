"""What can go wrong, split by who is to blame.

The whole tree:

- HarnessError
   - UsageError            a case, or a person at the command line, uses Backcheck in a way it cannot work
   - ImplementationError   a program under test crashed, ended early or broke its protocol
   - CaseTimeout           what a case awaited did not come in time
   - GoldenError           a golden file cannot be read, or contradicts itself
   - ExpectationFailed     the implementation answered, and the answer is not what the case promises

The last one is a verdict about an implementation; only a case's own expectations raise it.
"""

from collections.abc import Sequence


class HarnessError(Exception):
    """The root of everything the harness raises on purpose."""


class UsageError(HarnessError):
    """The API, the command line or a case file is used in a way that cannot work; the text says how to use it."""


class ImplementationError(HarnessError):
    """A program under test ended, crashed or broke its protocol.

    message: what happened, naming the program and its exit status or signal.
    last_messages: the last lines of the conversation and of the program's stderr, oldest first.
    """

    def __init__(self, message: str, last_messages: Sequence[str] = ()) -> None:
        super().__init__(message, tuple(last_messages))
        self.message = message
        self.last_messages = tuple(last_messages)

    def __str__(self) -> str:
        return with_last_messages(self.message, self.last_messages)


class CaseTimeout(HarnessError):
    """Nothing came within `seconds` while the case was waiting for `waiting_for`.

    last_messages: the last lines of the conversation, oldest first.
    """

    def __init__(self, seconds: float, waiting_for: str, last_messages: Sequence[str] = ()) -> None:
        super().__init__(seconds, waiting_for, tuple(last_messages))
        self.seconds = seconds
        self.waiting_for = waiting_for
        self.last_messages = tuple(last_messages)

    def __str__(self) -> str:
        return with_last_messages(f"waited {self.seconds:g} s for {self.waiting_for}", self.last_messages)


class GoldenError(HarnessError):
    """A golden file cannot be read or contradicts itself.

    where: file and line, as `golden/001.out:7`, or None.
    """

    def __init__(self, message: str, where: str | None = None) -> None:
        super().__init__(message, where)
        self.message = message
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ExpectationFailed(HarnessError):
    """An inline expectation of a case does not hold.

    subject: what was looked at, as `job0`; expected, got: both sides, rendered; where: the case's file and line.
    """

    def __init__(self, subject: str, *, expected: str, got: str, where: str | None = None) -> None:
        super().__init__(subject, expected, got, where)
        self.subject = subject
        self.expected = expected
        self.got = got
        self.where = where

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.subject}\n  expected: {self.expected}\n       got: {self.got}"


def with_last_messages(text: str, last_messages: Sequence[str]) -> str:
    """`text`, and below it the last messages, indented."""
    if not last_messages:
        return text
    return "\n".join([text, "last messages:", *(f"  {line}" for line in last_messages)])
