"""Lines that a system program prints find the requests that wait for them."""

import pytest

from backcheck.recording.recorder import Recorder
from backcheck.recording.stdout_lines import MISMATCH, OK, Request, StdoutLines
from backcheck.transcript import Direction, Output

RATE = "64 KiB, 1 ops; 00.00 sec (1.405 GiB/sec and 359.5680 ops/sec)"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(deadline_s=10)


@pytest.fixture
def lines(recorder: Recorder) -> StdoutLines:
    return StdoutLines(recorder)


def print_lines(recorder: Recorder, *texts: str) -> None:
    for text in texts:
        recorder.record(Direction.STDOUT, "", text)


def outputs(recorder: Recorder) -> list[str]:
    entries = recorder.transcript(keep_pairs=False, paths={}).entries()
    return [entry.text for entry in entries if isinstance(entry, Output)]


@pytest.mark.parametrize(
    ("operation", "printed", "result"),
    [
        ("write", ["wrote 65536/65536 bytes at offset 4096", RATE], OK),
        ("read", ["read 65536/65536 bytes at offset 4096", RATE], OK),
        ("discard", ["discard 65536/65536 bytes at offset 4096", RATE], OK),
        ("write", ["write failed: Input/output error"], "Input/output error"),
        ("write", ["aio_write failed: No space left on device"], "No space left on device"),
        (
            "read",
            ["Pattern verification failed at offset 4096, 65536 bytes", "read 65536/65536 bytes at offset 4096"],
            MISMATCH,
        ),
    ],
)
def test_results(recorder: Recorder, lines: StdoutLines, operation: str, printed: list[str], result: str) -> None:
    request = Request(operation=operation, offset=4096, length=65536)
    lines.expect(request)
    print_lines(recorder, *printed)
    lines.collect()
    assert request.result == result
    assert outputs(recorder) == []


def test_requests_that_end_in_another_order(recorder: Recorder, lines: StdoutLines) -> None:
    first, second = (Request(operation="write", offset=offset, length=512) for offset in (0, 512))
    lines.expect(first)
    lines.expect(second)
    print_lines(recorder, "wrote 512/512 bytes at offset 512")
    lines.collect()
    assert (first.result, second.result) == (None, OK)
    print_lines(recorder, "wrote 512/512 bytes at offset 0")
    lines.collect()
    assert first.result == OK


def test_lines_that_are_nobody_s_are_output(recorder: Recorder, lines: StdoutLines) -> None:
    print_lines(recorder, "Formatting 't.img', fmt=raw size=512", "wrote 512/512 bytes at offset 0")
    lines.collect()
    lines.collect()
    assert outputs(recorder) == ["Formatting 't.img', fmt=raw size=512", "wrote 512/512 bytes at offset 0"]


def test_breakpoints(recorder: Recorder, lines: StdoutLines) -> None:
    print_lines(recorder, "blkdebug: Suspended request 'A'")
    lines.collect()
    assert lines.suspended == {"A"}
    print_lines(recorder, "blkdebug: Resuming request 'A'")
    lines.collect()
    assert lines.suspended == set()
