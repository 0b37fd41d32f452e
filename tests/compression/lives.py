"""What a guest and an administrator do with an image, by the engine's hand or by QEMU's, and what it holds then."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from backcheck_engine.block.request import RequestFlag
from tests.qcow2.qemu import opened, qemu_img, qemu_io, run

Hand: TypeAlias = Literal["engine", "qemu"]
Verb: TypeAlias = Literal["write", "zero", "discard", "compress", "resize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request; of a resize `length` is the new size. Discards and compressed writes are of whole clusters."""

    verb: Verb
    offset: int = 0
    length: int
    pattern: int = 0


def do(hand: Hand, image: Path, content: bytes, steps: Sequence[Step]) -> bytes:
    """Do that with an image that holds `content`; what it holds afterwards, as far as it is not an overlay's."""
    if hand == "engine":
        run(lambda: _by_engine(image, steps))
    else:
        _by_qemu(image, steps)
    held = bytearray(content)
    for step in steps:
        if step.verb == "resize":
            held = held[: step.length].ljust(step.length, b"\0")
        else:
            # Discarded clusters read as zeroes.
            held[step.offset : step.offset + step.length] = bytes([step.pattern]) * step.length
    return bytes(held)


async def _by_engine(image: Path, steps: Sequence[Step]) -> None:
    async with opened(image) as node:
        for step in steps:
            data = bytes([step.pattern]) * step.length
            match step.verb:
                case "write":
                    await node.pwrite(step.offset, data)
                case "zero":
                    await node.pwrite_zeroes(step.offset, step.length, RequestFlag.MAY_UNMAP)
                case "discard":
                    await node.discard(step.offset, step.length)
                case "compress":
                    await node.pwrite_compressed(step.offset, data)
                case "resize":
                    await node.truncate(step.length, exact=True)


COMMANDS = {
    "write": "write -P {0.pattern} {0.offset} {0.length}",
    "zero": "write -z -u {0.offset} {0.length}",
    "discard": "discard {0.offset} {0.length}",
    "compress": "write -c -P {0.pattern} {0.offset} {0.length}",
}
"""Of qemu-io."""


def _by_qemu(image: Path, steps: Sequence[Step]) -> None:
    resizes = [step for step in steps if step.verb == "resize"]
    commands = [COMMANDS[step.verb].format(step) for step in steps if step not in resizes]
    if commands:
        qemu_io(image, *commands, options=("-f", "qcow2", "-d", "unmap"))
    for step in resizes:
        qemu_img("resize", "-q", "-f", "qcow2", "--shrink", image, str(step.length))
