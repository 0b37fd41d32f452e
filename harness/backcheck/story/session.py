"""What the parts of a running case share: the implementation, the folder, the machine, the recorder, what is held.

Cases do not use it; they use what case.py offers.
"""

import json
import resource
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

from backcheck.definition import CaseDefinition
from backcheck.errors import ExpectationFailed, UsageError
from backcheck.implementation import Implementation
from backcheck.json_types import JsonObject, JsonValue
from backcheck.programs.processes import Process
from backcheck.qmp import Exchange
from backcheck.recording.recorder import Recorder
from backcheck.recording.stdout_lines import StdoutLines
from backcheck.transcript import Command, Reply
from backcheck.vm import Machine

ANSWERED_WHILE_HELD = frozenset(
    {
        "blockdev-add",
        "block-job-cancel",
        "block-job-pause",
        "block-job-resume",
        "block-job-set-speed",
        "job-cancel",
        "job-pause",
        "job-resume",
        "query-block",
        "query-block-jobs",
        "query-jobs",
        "query-named-block-nodes",
        "query-status",
    }
)
"""What QEMU 5.2, 7.2, 10.0 and 11.1 answer while a breakpoint holds a request; others drain, and wait for ever."""


class Operator(Protocol):
    """Somebody beside the case who talks to each machine: see human_monitor.py."""

    def open(self) -> socket.socket:
        """A machine starts: the end of a connection that it gets."""

    def close(self) -> None:
        """It has ended."""


class Peer(Protocol):
    """Something beside the machine that it talks to, as long as the case runs: see recording_target.py."""

    @property
    def holding(self) -> bool:
        """Whether it holds a request of the machine back now."""

    def close(self) -> None:
        """The case is over."""


class Session:
    """One run of a case, from its folder to its machine."""

    def __init__(
        self, definition: CaseDefinition, implementation: Implementation, format_name: str, folder: Path
    ) -> None:
        self.definition = definition
        self.implementation = implementation
        self.format = format_name
        self.folder = folder
        self.recorder = Recorder(deadline_s=definition.timeout_s)
        self.machine = Machine(implementation, folder, self.recorder)
        self.stdout = StdoutLines(self.recorder)
        self.nodes: dict[str, JsonObject] = {}
        """Node name -> options of nodes that were added while a machine ran: the next one begins with them."""
        self.started = False
        self._arguments: list[str] = []
        self._killed = False
        self.attached: dict[str, str] = {}
        """Names of the image files that the machine opens -> the node that has them."""
        self.running = False
        self.operators: list[Operator] = []
        """Who has a connection of its own to each machine, in the order of their descriptors."""
        self.breakpoints: list[str] = []
        """Tags of the breakpoints that are set."""
        self.peers: dict[str, Peer] = {}
        """What the case started beside its machines, by name."""

    @property
    def held(self) -> list[str]:
        """What holds a request now: breakpoints, as far as the machine has told, and peers."""
        self.stdout.collect()
        breakpoints = [f"the breakpoint {tag}" for tag in self.breakpoints if tag in self.stdout.suspended]
        return [*breakpoints, *(name for name, peer in self.peers.items() if peer.holding)]

    def add_arguments(self, *arguments: str) -> None:
        """More of the machine's command line. Raises UsageError while it runs."""
        if self.running:
            raise UsageError("the machine has started: add drives before the first guest request, command or backup")
        self._arguments.extend(arguments)

    def add_node(self, node_name: str, tree: JsonObject) -> None:
        """A node by `-blockdev` before a machine starts, by unrecorded `blockdev-add` while it runs."""
        if self.running:
            self.expect_success(self.execute("blockdev-add", tree, recorded=False))
            self.nodes[node_name] = tree
        else:
            self.add_arguments("-blockdev", json.dumps(tree))

    def start(self, *, again: bool = False) -> None:
        """Starts the machine, if none runs: the first, one after another was killed, or `again` after any end.

        Raises UsageError when it has been shut down and nothing says that it is to start again.
        """
        if self.running:
            return
        if self.started:
            if not (again or self._killed):
                raise UsageError("the machine has been shut down; t.start() starts it again")
            self.machine = Machine(self.implementation, self.folder, self.recorder)
            self.recorder.listen_again()
        self.started, self._killed = True, False
        late = [argument for tree in self.nodes.values() for argument in ("-blockdev", json.dumps(tree))]
        self.machine.start([*self._arguments, *late], [operator.open() for operator in self.operators])
        self.running = True

    def execute(self, name: str, arguments: JsonObject, *, recorded: bool) -> Exchange:
        """Sends a command, starting the machine if need be; `recorded` puts it and its reply into the transcript."""
        self.start()
        if name not in ANSWERED_WHILE_HELD and (held := self.held):
            raise UsageError(
                f"{name} waits for ever while {held[0]} holds a request: release it first "
                f"(meanwhile only {', '.join(sorted(ANSWERED_WHILE_HELD))} and aio requests are answered)"
            )
        return self.send(name, arguments, recorded=recorded)

    def send(
        self, name: str, arguments: JsonObject, *, recorded: bool, message: Mapping[str, object] | None = None
    ) -> Exchange:
        """Sends a command whatever is held; `message` instead of the object that is made of name and arguments."""
        self.start()
        if message is None:
            exchange = self.machine.execute(name, arguments)
        else:
            exchange = self.machine.monitor.send(message, name, arguments)
        if recorded:
            self.record_exchange(exchange)
        if name == "blockdev-del" and exchange.error_class is None:
            self._forget_node(str(arguments["node-name"]))
        self.stdout.collect()
        return exchange

    def _forget_node(self, node_name: str) -> None:
        """A node is gone: its image is free, and the next machine does not begin with it."""
        self.nodes.pop(node_name, None)
        self.attached = {image: node for image, node in self.attached.items() if node != node_name}

    def record_exchange(self, exchange: Exchange) -> None:
        monitor = self.machine.monitor.name
        self.recorder.add(
            Command(monitor=monitor, name=exchange.name, arguments=exchange.arguments, at=exchange.sent_at)
        )
        self.recorder.add(
            Reply(
                monitor=monitor,
                at=exchange.reply_at,
                value=exchange.value,
                error_class=exchange.error_class,
                description=exchange.description,
            )
        )

    def ask(self, name: str, arguments: JsonObject | None = None) -> JsonValue:
        """The value a query returns, unrecorded. Raises ExpectationFailed when it is an error."""
        exchange = self.execute(name, arguments or {}, recorded=False)
        self.expect_success(exchange)
        return exchange.value

    def expect_success(self, exchange: Exchange) -> None:
        """Raises ExpectationFailed when a reply is an error."""
        if exchange.error_class is not None:
            self.fail(exchange.name, expected="success", got=f"{exchange.error_class} {exchange.description!r}")

    def fail(self, subject: str, *, expected: str, got: str) -> NoReturn:
        """Raises ExpectationFailed, naming the case's line that expected it."""
        raise ExpectationFailed(subject, expected=expected, got=got, where=self.where())

    def where(self) -> str | None:
        """File and line of the case that is being executed."""
        frame: FrameType | None = sys._getframe()
        path = str(self.definition.path)
        while frame is not None:
            if frame.f_code.co_filename == path:
                return f"{self.definition.path.name}:{frame.f_lineno}"
            frame = frame.f_back
        return None

    def paths(self) -> Mapping[str, str]:
        """Texts that differ between runs or implementations, and what a reader sees instead."""
        return {str(self.folder): "FOLDER", self.implementation.system.name: "PROGRAM"}

    def shut_down(self) -> None:
        """Ends the machine in order, unrecorded, so that its images can be looked at."""
        if not self.running:
            return
        if held := self.held:
            raise UsageError(f"{held[0]} holds a request: release it before the machine ends")
        self.recorder.ignore_from_here()
        self.machine.quit()
        self._ended()

    def kill(self) -> None:
        """Kills the machine in the middle of what it does. What nobody awaited is in no step."""
        if not self.running:
            raise UsageError("no machine runs that could be killed")
        self.stdout.collect()
        self.recorder.ignore_from_here()
        self.recorder.forget_unclaimed()
        self._ended()
        self._killed = True

    def signal(self, number: int) -> None:
        """Sends a signal to the machine."""
        self._require_machine("sent a signal").signal(number)

    def limit_file_size(self, size: int | None) -> None:
        """Sets how large the files may be that the machine writes from now on; None for as large as it likes."""
        pid = self._require_machine("limited").pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def _require_machine(self, done: str) -> Process:
        """The process of the running machine. Raises UsageError when there is none that could be `done` so."""
        if not self.running or self.machine.process is None:
            raise UsageError(f"no machine runs that could be {done}")
        return self.machine.process

    def quit_by_case(self) -> None:
        """The case has asked the machine to end: it must do so by itself."""
        self.machine.expect_end(0)
        self._ended()

    def _ended(self) -> None:
        """Lets go of a machine that has ended, or ends it at once."""
        self._let_go()
        self.stdout.forget()
        self.breakpoints.clear()

    def close(self) -> None:
        """The case is over: kills the machine, if it runs, and ends what was started beside it."""
        self._let_go()
        for peer in self.peers.values():
            peer.close()

    def _let_go(self) -> None:
        """Kills the machine, if it runs, and frees what it had."""
        self.running = False
        self.machine.kill()
        for operator in self.operators:
            operator.close()
