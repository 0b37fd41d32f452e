"""Random messages for a QMP monitor: right ones, spoilt ones, and bytes that are no message at all."""

import json
import random
from dataclasses import dataclass
from typing import Any

from backcheck_engine.monitor import hmp_table, registry
from backcheck_engine.qapi.schema import schema_of
from backcheck_engine.release import current
from tests.soak.values import BITMAPS, DEVICES, FILES, JOBS, NODES, NUMBERS, OBJECTS, TEXTS, Values

NEVER = ("quit", "system_reset")
"""What ends the program is for the end of the session."""
OFTEN = (
    "drive-backup",
    "blockdev-backup",
    "transaction",
    "blockdev-add",
    "blockdev-del",
    "block-dirty-bitmap-add",
    "human-monitor-command",
)
GUEST_REQUESTS = (
    "read 0 512",
    "read -v 0 16",
    "write -P 0x5a 0 64k",
    "write -z 64k 64k",
    "write -zu 0 1M",
    "write -c 0 64k",
    "writev 0 512 1024 4096",
    "discard 0 64k",
    "aio_write -P 1 0 4k",
    "aio_read 0 4k",
    "aio_discard 0 4k",
    "aio_flush",
    "flush",
    "alloc 0",
    "map",
    "info",
    "length",
    "truncate 2M",
    "help",
    "resume A",
    "remove_break A",
)
"""What may wait for ever, or end the program, as on QEMU, is not among them: break, sleep, abort, sigraise."""
WORDS = (
    NODES + DEVICES + BITMAPS + JOBS + FILES + OBJECTS + ("on", "off", "-f", "-n", "-d", "1M", "0", '"', "\\", "job_*")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent; `is_whole` when it is one object, to which one reply belongs."""

    data: bytes
    is_whole: bool


class Messages:
    """A stream of them."""

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._schema = schema_of(current())
        self._values = Values(generator, self._schema)
        known = [name for name in registry.names() if self._schema.command(name) and name not in NEVER]
        self._commands = known + list(OFTEN) * 6

    def next(self, identity: str) -> Message:
        """A message; a whole one carries the identity."""
        chance = self._random.random()
        request = self._request()
        if chance < 0.25:
            request["arguments"] = self._values.spoilt(request.get("arguments", {}))
        elif chance < 0.3:
            request = self._spoilt_request(request)
        elif chance < 0.42:
            return Message(data=self._broken(json.dumps(request).encode()), is_whole=False)
        elif chance < 0.44:
            return Message(data=json.dumps(self._values.anything(0)).encode(), is_whole=False)
        request = {**request, "id": identity}
        return Message(
            data=json.dumps(request, ensure_ascii=self._random.random() < 0.9).encode(errors="surrogatepass"),
            is_whole=True,
        )

    def hmp_line(self) -> str:
        """A line of the human monitor."""
        pick = self._random.choice
        if self._random.random() < 0.4:
            request = pick(GUEST_REQUESTS)
            if self._random.random() < 0.3:
                request = self._other_number(request)
            return f'qemu-io {pick(["", "-d "])}{pick(DEVICES + NODES)} "{request}"'
        commands = [entry for entry in hmp_table.COMMANDS if entry.names[0] not in ("quit", "block_set_io_throttle")]
        entry = pick(commands + list(hmp_table.INFO_COMMANDS))
        prefix = "info " if entry in hmp_table.INFO_COMMANDS else ""
        words = [
            pick(WORDS + TEXTS if self._random.random() < 0.2 else WORDS) for _ in range(self._random.randrange(5))
        ]
        return f"{prefix}{pick(entry.names)} {' '.join(words)}".replace("qemu-io", "info")

    def _request(self) -> dict[str, Any]:
        name = self._random.choice(self._commands)
        if name == "human-monitor-command":
            return {"execute": name, "arguments": {"command-line": self.hmp_line()}}
        command = self._schema.command(name)
        assert command is not None
        return {"execute": name, "arguments": self._values.arguments(command)}

    def _spoilt_request(self, request: dict[str, Any]) -> dict[str, Any]:
        match self._random.randrange(5):
            case 0:
                return {**request, "execute": self._values.anything(3)}
            case 1:
                return {**request, "arguments": self._values.anything(1)}
            case 2:
                return {"exec-oob" if key == "execute" else key: value for key, value in request.items()}
            case 3:
                return {**request, self._random.choice((*TEXTS, "exec-oob")): self._values.anything(2)}
            case _:
                return {"arguments": request["arguments"]}

    def _broken(self, text: bytes) -> bytes:
        """Cut off, with other bytes here and there, a part twice, or a second message in the middle."""
        place = self._random.randrange(1, len(text))
        match self._random.randrange(6):
            case 0:
                return text[:place]
            case 1:
                changed = bytearray(text)
                for _ in range(self._random.choice([1, 1, 3, 20])):
                    changed[self._random.randrange(len(text))] = self._random.randrange(1, 256)
                return bytes(changed)
            case 2:
                return text[place:] + text[:place]
            case 3:
                return text[:place] + text + text[place:]
            case 4:
                bracket = self._random.choice([b"[", b"{", b'{"a":', b"]", b"}"])
                return text[:place] + bracket * self._random.choice([1, 3, 1200, 5000]) + text[place:]
            case _:
                digits = self._random.choice([b"9" * 400, b"1e999", b"-", b"0x1", b"01", b"1.", b"NaN", b"'", b"%d"])
                return text[:place] + digits + text[place:]

    def _other_number(self, request: str) -> str:
        words = request.split()
        numbers = [place for place, word in enumerate(words) if word[0].isdigit()]
        if numbers:
            others = [str(number) for number in NUMBERS if number < 1 << 24] + [
                "9" * 30,
                "1e3",
                "7E",
                "-1",
                "0x",
                "1.5M",
            ]
            words[self._random.choice(numbers)] = self._random.choice(others)
        return " ".join(words)
