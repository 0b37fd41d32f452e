"""A human monitor beside the QMP one: somebody sits at a terminal and types. `t.human_monitor()` gives one.

The program has one end of a socket as a character device. What it shows is recorded in the loop, in true order with
everything else; in the golden each operator has a lane.
"""

import os
import socket
from dataclasses import replace
from typing import Final

from backcheck.errors import UsageError
from backcheck.programs.event_loop import loop_thread
from backcheck.qmp import Exchange
from backcheck.story.session import Session
from backcheck.story.terminal import Key, readable, shown_lines
from backcheck.transcript import Command, Direction, Reply

PROMPT: Final = "(qemu) "
_NEW_PROMPT: Final = f"\r\n{PROMPT}"
_CHUNK: Final = 1 << 16


class HumanMonitor:
    """An operator at a terminal; `name` is the lane of the golden."""

    def __init__(self, session: Session, name: str) -> None:
        self.name = name
        self._session = session
        self._last: Exchange | None = None
        self._connection: socket.socket | None = None
        self._said = ""
        """All that this machine has shown."""
        self._line_start = 0
        """Where in it the line begins on which the operator types; 0 before the greeting was awaited."""

    def open(self) -> socket.socket:
        """A machine starts: listens to one end of a socket pair, and returns the other."""
        self._said, self._line_start = "", 0
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._connection = ours
        loop = loop_thread()
        loop.call(lambda: loop.loop.add_reader(ours, self._read, ours))
        return theirs

    def close(self) -> None:
        """The machine has ended."""
        if (connection := self._connection) is not None:
            loop = loop_thread()
            loop.call(lambda: loop.loop.remove_reader(connection))
            connection.close()
            self._connection = None

    @property
    def last(self) -> Exchange:
        """The last line and its answer: what starts the job of `t.job("disk0", human.last)`."""
        if self._last is None:
            raise UsageError(f"{self.name} has not typed a line yet")
        return self._last

    def banner(self) -> str:
        """What the monitor greeted with; unrecorded, since it names the release."""
        self._greeted()
        return self._said[: self._said.index(_NEW_PROMPT)]

    def run(self, line: str) -> str:
        """Types a line and Enter; returns what is answered. Golden has both; the echo, which it has not, must be right.

        Where a command waits for a request that a breakpoint holds, this waits as well.
        """
        if not line.isprintable():
            raise UsageError(f"{line!r} has keys that are no letters: that is for edit()")
        echo, *answer = shown_lines(self._type(line, line, prompts=1))
        if echo != PROMPT + line:
            self._session.fail(f"{self.name} types {line!r}", expected=repr(PROMPT + line), got=repr(echo))
        text = "".join(f"{shown}\r\n" for shown in answer[:-1])
        self._answered(text)
        return text

    def send(self, line: str) -> Exchange:
        """Types a line and Enter, and waits for nothing: for `quit`, after which no prompt comes."""
        self._send(line, line)
        return self.last

    def edit(self, *keys: str, prompts: int = 1) -> list[str]:
        """Presses keys and then Enter; returns the lines that the terminal shows now, the one with the keys first.

        The golden has the keys and every byte that they brought, as `ab<left 2>x<erase>`. prompts: how many prompts
        follow, one for each line and one for each list of completions.
        """
        typed = "".join(keys)
        shown = self._type(readable(typed, typed=True), typed, prompts=prompts)
        self._answered(readable(shown))
        return shown_lines(shown)[:-1]

    def _type(self, text: str, typed: str, *, prompts: int) -> str:
        """Sends keys and Enter, and waits for the prompt; returns what the terminal got since the one before."""
        self._send(text, typed)
        return self._next_line(prompts)

    def _send(self, text: str, typed: str) -> None:
        """Sends keys, recorded as that text, and Enter."""
        self._greeted()
        assert self._connection is not None, "it has greeted"
        recorder = self._session.recorder
        at = recorder.record(Direction.SENT, self.name, text)
        recorder.add(Command(monitor=self.name, name=text, arguments={}, at=at))
        self._last = Exchange(name=text, arguments={}, sent_at=at, reply_at=at)
        self._connection.sendall(f"{typed}{Key.ENTER}".encode("latin-1"))

    def _greeted(self) -> None:
        """Starts the machine, if none runs, and waits for the first prompt."""
        self._session.start()
        if not self._line_start:
            self._next_line(1)

    def _next_line(self, prompts: int) -> str:
        """Waits until so many prompts have come, the last of them last; returns what came on the line and after it."""
        start = self._line_start

        def is_shown() -> bool | None:
            shown = self._said[start:]
            return (shown.count(_NEW_PROMPT) >= prompts and shown.endswith(PROMPT)) or None

        self._session.recorder.wait(is_shown, waiting_for=f"the prompt of {self.name}")
        self._line_start = len(self._said) - len(PROMPT)
        return self._said[start:]

    def _answered(self, text: str) -> None:
        recorder = self._session.recorder
        at = recorder.note(f"{self.name} has its prompt again")
        recorder.add(Reply(monitor=self.name, value=text, at=at))
        self._last = replace(self.last, reply_at=at, value=text)
        self._session.stdout.collect()

    def _read(self, connection: socket.socket) -> None:
        """In the loop: takes what has come, after what the program printed before it."""
        try:
            data = os.read(connection.fileno(), _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            loop_thread().loop.remove_reader(connection)
            return
        self._session.machine.read_stdout()
        text = data.decode("latin-1")
        self._said += text
        self._session.recorder.record(Direction.RECEIVED, self.name, readable(text))
