"""What a case says to the machine's monitor, and what it asks it."""

import json
import signal
from collections.abc import Mapping, Sequence

from backcheck.json_types import JsonObject, JsonValue, as_json, objects
from backcheck.qmp import Exchange
from backcheck.story.backups import BACKUP_COMMANDS
from backcheck.story.bitmaps import Bitmap, bitmaps_of
from backcheck.story.disks import Drive, Node
from backcheck.story.expectations import render_got, wire_name, wrong_keys
from backcheck.story.human_monitor import HumanMonitor
from backcheck.story.jobs import Job, Moment
from backcheck.story.schema import CommandSchema, Schema
from backcheck.story.session import Session


class Conversation:
    """Commands, queries and events. What is not said to be unrecorded is in the golden."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: list[Job] = []
        self._ended_jobs = 0
        """How many of them were jobs of machines that have ended."""
        self._names: set[str] = set()
        self._next_event: dict[str, int] = {}
        self._stderr_lines = 0

    def qmp(self, command: str, arguments: Mapping[str, object] | None = None, /, **more: JsonValue) -> JsonValue:
        """Sends a command that must succeed and returns its value; both are in the golden.

        Names of keyword arguments have an underscore where QMP has `-`; those in `arguments` are taken as they are.
        """
        exchange = self.exchange(command, arguments, **more)
        self._session.expect_success(exchange)
        return exchange.value

    def expect_error(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        /,
        *,
        error: str | None = None,
        error_class: str | None = None,
        **more: JsonValue,
    ) -> Exchange:
        """Sends a command that must be refused, with this description and class if they are given.

        The golden has both anyway; give them for what the case promises and where all releases agree.
        """
        exchange = self.exchange(command, arguments, **more)
        self._claim_of_refused(exchange)
        wrong = (
            exchange.error_class is None
            or error not in (None, exchange.description)
            or error_class not in (None, exchange.error_class)
        )
        if wrong:
            got = f"{exchange.error_class} {exchange.description!r}" if exchange.error_class else "success"
            self._session.fail(command, expected=f"{error_class or 'error'} {error or ''!r}", got=got)
        return exchange

    def exchange(self, command: str, arguments: Mapping[str, object] | None = None, /, **more: JsonValue) -> Exchange:
        """Sends a command and returns the exchange, success or error."""
        return self._session.execute(command, _named(arguments, more), recorded=True)

    def qmp_object(self, message: Mapping[str, object]) -> Exchange:
        """Sends an object as it is, also one that the schema refuses; it must have `execute`."""
        return self._session.send(json.dumps(message), {}, recorded=True, message=message)

    def hmp(self, line: str) -> str:
        """A line for the human monitor; the golden has it as human-monitor-command. Returns what it prints."""
        return str(self.qmp("human-monitor-command", {"command-line": line}))

    def ask(self, command: str, arguments: Mapping[str, object] | None = None, /, **more: JsonValue) -> JsonValue:
        """The value of a command that must succeed, unrecorded: for predicates and for what is too large to freeze."""
        return self._session.ask(command, _named(arguments, more))

    def ask_list(
        self, command: str, arguments: Mapping[str, object] | None = None, /, **more: JsonValue
    ) -> Sequence[JsonObject]:
        """What a query returns that answers with a list of objects, unrecorded."""
        return objects(self.ask(command, arguments, **more))

    def command_schema(self, command: str) -> CommandSchema | None:
        """What query-qmp-schema tells about a command, unrecorded; None when there is none of that name."""
        return Schema(self.ask("query-qmp-schema")).command(command)

    def nodes(self) -> Sequence[JsonObject]:
        """All named nodes, by query-named-block-nodes, unrecorded."""
        return self.ask_list("query-named-block-nodes", flat=True)

    def node_info(self, node_name: str) -> JsonObject:
        """The node's element of query-named-block-nodes, unrecorded."""
        return self._only("query-named-block-nodes", self.nodes(), {"node-name": node_name})

    def find_node(self, **wanted: JsonValue) -> Node:
        """The one node of which query-named-block-nodes says this, `t.find_node(file="base.img", drv=t.format)`."""
        info = self._only("query-named-block-nodes", self.nodes(), wanted)
        return Node(self._session, str(info["node-name"]), None)

    def bitmap(self, node: Node | str, name: str) -> Bitmap:
        """A bitmap that some command, a transaction or the image has made, or will: `t.bitmap(disk, "b0")`."""
        return Bitmap(self._session, node.node_name if isinstance(node, Node) else node, name)

    def node_bitmaps(self, node: Node | str) -> Sequence[JsonObject]:
        """All bitmaps of a node, newest first, anonymous ones too, by query-named-block-nodes, unrecorded."""
        return bitmaps_of(self._session, node.node_name if isinstance(node, Node) else node)

    def drive_info(self, drive: Drive | str) -> JsonObject:
        """The drive's element of query-block, unrecorded."""
        name = drive.id if isinstance(drive, Drive) else drive
        return self._only("query-block", self.ask_list("query-block"), {"device": name})

    def inserted(self, drive: Drive | str) -> JsonObject:
        """What query-block tells of the drive's root node, unrecorded. Fails the case when there is no medium."""
        inserted = self.drive_info(drive).get("inserted")
        if not isinstance(inserted, Mapping):
            self._session.fail("query-block", expected="a drive with a medium", got="none")
        return inserted

    def wait_event(self, name: str, *, seconds: float | None = None) -> Moment:
        """Waits for the next event of that name that is no job's, as STOP; the golden has those up to it here.

        Next is the one after the last that this method gave.
        """
        recorder = self._session.recorder
        start = self._next_event.get(name, 0)
        message = recorder.wait(
            lambda: recorder.find_event(start, lambda event, _: event == name),
            waiting_for=f"the event {name}",
            seconds=seconds,
        )
        self._next_event[name] = message.at + 1
        recorder.claim(f"{message.monitor} events", message.at)
        return Moment(at=message.at, what=name)

    def quit(self, by: HumanMonitor | None = None) -> Exchange:
        """`quit` as part of the story: the reply, all that the jobs and the machine still say, exit status 0.

        by: the operator who types it, and gets no reply.
        """
        exchange = self._session.execute("quit", {}, recorded=True) if by is None else by.send("quit")
        self._claim_the_end()
        return exchange

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal that asks the machine to end, as `signal.SIGTERM`; it must, with exit status 0.

        All that the jobs and the machine still say is in this step; the signal has no line of its own.
        """
        self._session.signal(number)
        self._claim_the_end()

    def _claim_the_end(self) -> None:
        """Waits for a machine that has been asked to end; what it still says belongs to this step."""
        self._session.quit_by_case()
        recorder = self._session.recorder
        last = len(recorder.raw) - 1
        for lane in [*dict.fromkeys(job.id for job in self._jobs), f"{self._session.machine.monitor.name} events"]:
            recorder.claim(lane, last)
        self._ended_jobs = len(self._jobs)

    def _claim_of_refused(self, exchange: Exchange) -> None:
        """A start that is refused late has told `created` and `null` of its job before: they belong to this step."""
        if exchange.error_class is not None:
            for job_id in _started_jobs(exchange):
                self._session.recorder.claim(job_id, exchange.reply_at)

    def _only(self, command: str, listed: Sequence[JsonObject], wanted: JsonObject) -> JsonObject:
        """The one element of a list that has these values."""
        found = [item for item in listed if not wrong_keys(wanted, item)]
        if len(found) != 1:
            self._session.fail(command, expected=f"one with {render_got(wanted, list(wanted))}", got=str(len(found)))
        return found[0]


def _started_jobs(exchange: Exchange) -> list[str]:
    """The jobs that a command starts: that of a backup, those of the backups in a transaction."""
    started: list[tuple[JsonValue, JsonValue]] = [(exchange.name, exchange.arguments)]
    if exchange.name == "transaction":
        listed = exchange.arguments.get("actions")
        actions = listed if isinstance(listed, list | tuple) else []
        started = [(action.get("type"), action.get("data")) for action in actions if isinstance(action, Mapping)]
    return [
        str(data.get("job-id", data.get("device")))
        for name, data in started
        if name in BACKUP_COMMANDS and isinstance(data, Mapping)
    ]


def _named(arguments: Mapping[str, object] | None, more: JsonObject) -> JsonObject:
    """Arguments as on the wire."""
    named = {key: as_json(value) for key, value in (arguments or {}).items()}
    return {**named, **{wire_name(key): value for key, value in more.items()}}
