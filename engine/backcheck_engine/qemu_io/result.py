"""What a transfer prints: its report, the bytes it read, and the pattern it did not find. Pure functions."""

from dataclasses import dataclass

from backcheck_engine.block.request import Buffer
from backcheck_engine.qemu_io.numbers import bytes_text

_DUMP_WIDTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One request that succeeded."""

    verb: str
    """How the report begins: "wrote", "read", "discard"."""
    offset: int
    length: int
    seconds: float


def report(transfer: Transfer, *, machine_readable: bool = False) -> str:
    """The statistics: two lines to read, or one of comma-separated values."""
    length, seconds = transfer.length, max(transfer.seconds, 1e-9)
    if machine_readable:
        return f"{length},1,{_clock(seconds)},{length / seconds:.3f},{1 / seconds:.3f}"
    return (
        f"{transfer.verb} {length}/{length} bytes at offset {transfer.offset}\n"
        f"{bytes_text(length)}, 1 ops; {_duration(seconds)} "
        f"({bytes_text(length / seconds)}/sec and {1 / seconds:.4f} ops/sec)"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02}:{int(rest):02}.{int(rest * 100) % 100:02}"


def _duration(seconds: float) -> str:
    return _clock(seconds) if seconds >= 60 else f"{int(seconds):02}.{int(seconds * 100) % 100:02} sec"


def dump(data: Buffer, offset: int) -> str:
    """The bytes in hexadecimal and as ASCII, 16 a line, each line with its offset."""
    view = memoryview(data)
    lines = []
    for start in range(0, len(view), _DUMP_WIDTH):
        row = bytes(view[start : start + _DUMP_WIDTH])
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{offset + start:08x}:  {''.join(f'{byte:02x} ' for byte in row)} {shown}")
    return "\n".join(lines)


def holds_only(data: Buffer, pattern: int) -> bool:
    """Whether every byte is `pattern`."""
    view = memoryview(data)
    length = len(view)
    if not length:
        return True
    return view[0] == pattern and view[: length - 1] == view[1:]
