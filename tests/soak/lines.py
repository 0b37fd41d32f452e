"""A client of a QMP monitor whose program is being watched: no answer may be late."""

import json
import socket
from typing import Any

from tests.soak.watched import Watched

Message = dict[str, Any]


class Line:
    """One client: bytes out, messages in."""

    def __init__(self, client: socket.socket, program: Watched) -> None:
        self.client = client
        self._program = program
        self._rest = b""
        self._number = 0
        self.events: list[Message] = []

    def send(self, data: bytes) -> None:
        self.client.sendall(data)

    def message(self) -> Message:
        """The next message. Raises Late."""
        while b"\n" not in self._rest:
            self._program.wait_readable(self.client.fileno(), "a message")
            data = self.client.recv(1 << 20)
            assert data, self._program.said()
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def negotiate(self) -> None:
        """Read the greeting and enable out-of-band commands."""
        assert "QMP" in self.message()
        self.send(b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}')
        assert self.message() == {"return": {}}

    def replies(self) -> list[Message]:
        """What comes, without events, until the program answers a question that is sent now."""
        self._number += 1
        mark = f"mark-{self._number}"
        self.send(f'{{"execute": "query-name", "id": "{mark}"}}'.encode())
        said: list[Message] = []
        while (message := self.message()).get("id") != mark:
            (self.events if "event" in message else said).append(message)
        assert message == {"return": {}, "id": mark}
        return said

    def ask(self, command: str, arguments: Message) -> Message:
        """The reply to a command; events before it are kept."""
        self.send(json.dumps({"execute": command, "arguments": arguments}).encode())
        while "event" in (message := self.message()):
            self.events.append(message)
        return message

    def wait_for_event(self, name: str, **data: object) -> None:
        """Until an event of that name with these data has come, also before now; those before it are forgotten."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == name and data.items() <= event["data"].items():
                    return
            self.events.append(self.message())
