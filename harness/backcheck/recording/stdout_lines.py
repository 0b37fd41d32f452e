"""What a system program prints: results of guest requests, blkdebug's remarks, and everything else.

HMP `qemu-io` prints the result of a request on stdout, a synchronous one before the monitor's reply and an aio one
when it is done. The lines are matched to the requests that wait for them; lines that are nobody's become output of
the transcript.
"""

import re
from dataclasses import dataclass

from backcheck.recording.recorder import Recorder
from backcheck.transcript import Direction, Output

_DONE = re.compile(r"(?P<verb>wrote|read|discard) (?P<done>\d+)/(?P<length>\d+) bytes at offset (?P<offset>\d+)")
_FAILED = re.compile(r"(?:aio_)?(?P<operation>write|read|readv|writev|discard|flush) failed: (?P<reason>.*)")
_MISMATCH = re.compile(r"Pattern verification failed at offset (?P<offset>\d+), (?P<length>\d+) bytes")
_RATE = re.compile(r"[\d.]+ \S+, \d+ ops; .* ops/sec\)")
_BLKDEBUG = re.compile(r"blkdebug: (?P<what>Suspended|Resuming) request '(?P<tag>[^']+)'")
_OPERATIONS = {"wrote": "write", "read": "read", "discard": "discard"}

OK = "ok"
MISMATCH = "pattern mismatch"


@dataclass(slots=True, kw_only=True)
class Request:
    """A guest request that was sent; `result` is None until its line has been printed."""

    operation: str
    offset: int
    length: int
    result: str | None = None
    mismatch: bool = False
    ended_at: int | None = None
    """The place of its line among all messages."""


class StdoutLines:
    """Reads the recorded lines once, in order."""

    def __init__(self, recorder: Recorder) -> None:
        self.suspended: set[str] = set()
        """Tags of the breakpoints that hold a request."""
        self._recorder = recorder
        self._position = 0
        self._pending: list[Request] = []

    def expect(self, request: Request) -> None:
        """A request was sent whose result will be printed."""
        self._pending.append(request)

    def drop(self, request: Request) -> None:
        """Its result will not be printed."""
        self._pending.remove(request)

    def forget(self) -> None:
        """The program has ended: nothing is held any more, and no result will be printed."""
        self.collect()
        self.suspended.clear()
        self._pending.clear()

    def collect(self) -> None:
        """Takes the lines recorded since the last call."""
        raw = self._recorder.raw
        end = len(raw)
        for message in raw[self._position : end]:
            if message.direction is Direction.STDOUT and not self._take(str(message.message), message.at):
                self._recorder.add(Output(text=str(message.message), at=message.at))
        self._position = end

    def _take(self, line: str, at: int) -> bool:
        """Whether the line was somebody's."""
        if match := _BLKDEBUG.fullmatch(line):
            (self.suspended.add if match["what"] == "Suspended" else self.suspended.discard)(match["tag"])
            return True
        if match := _DONE.fullmatch(line):
            where = (_OPERATIONS[match["verb"]], int(match["offset"]), int(match["length"]))
            return self._finish(where, OK, at)
        if match := _FAILED.fullmatch(line):
            return self._finish((match["operation"].rstrip("v"), None, None), match["reason"], at)
        if match := _MISMATCH.fullmatch(line):
            return self._note_mismatch(int(match["offset"]))
        return _RATE.fullmatch(line) is not None

    def _finish(self, where: tuple[str, int | None, int | None], result: str, at: int) -> bool:
        operation, offset, length = where
        for request in self._pending:
            if request.operation == operation and offset in (None, request.offset) and length in (None, request.length):
                request.ended_at = at
                request.result = MISMATCH if request.mismatch else result
                self._pending.remove(request)
                return True
        return False

    def _note_mismatch(self, offset: int) -> bool:
        for request in self._pending:
            if request.operation == "read" and request.offset <= offset < request.offset + request.length:
                request.mismatch = True
                return True
        return False
