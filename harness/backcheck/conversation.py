"""What a case says to the machine's monitor, and what it asks it."""

import json
from collections.abc import Mapping, Sequence

from backcheck.backups import BACKUP_COMMANDS
from backcheck.disks import Drive
from backcheck.expectations import wire_name
from backcheck.jobs import Job, Moment
from backcheck.json_types import JsonObject, JsonValue
from backcheck.qmp import Exchange
from backcheck.schema import CommandSchema, Schema
from backcheck.session import Session


class Conversation:
    """Commands, queries and events. What is not said to be unrecorded is in the golden."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: list[Job] = []

    def qmp(self, command: str, arguments: JsonObject | None = None, /, **more: JsonValue) -> JsonValue:
        """Sends a command that must succeed and returns its value; both are in the golden.

        Names of keyword arguments have an underscore where QMP has `-`; those in `arguments` are taken as they are.
        """
        exchange = self.exchange(command, arguments, **more)
        self._session.expect_success(exchange)
        return exchange.value

    def expect_error(
        self,
        command: str,
        arguments: JsonObject | None = None,
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

    def exchange(self, command: str, arguments: JsonObject | None = None, /, **more: JsonValue) -> Exchange:
        """Sends a command and returns the exchange, success or error."""
        named = {**(arguments or {}), **{wire_name(key): value for key, value in more.items()}}
        return self._session.execute(command, named, recorded=True)

    def qmp_object(self, message: JsonObject) -> Exchange:
        """Sends an object as it is, also one that the schema refuses; it must have `execute`."""
        return self._session.send(json.dumps(message), {}, recorded=True, message=message)

    def hmp(self, line: str) -> str:
        """A line for the human monitor; the golden has it as human-monitor-command. Returns what it prints."""
        return str(self.qmp("human-monitor-command", {"command-line": line}))

    def ask(self, command: str, arguments: JsonObject | None = None, /, **more: JsonValue) -> JsonValue:
        """The value of a command that must succeed, unrecorded: for predicates and for what is too large to freeze."""
        return self._session.ask(
            command, {**(arguments or {}), **{wire_name(key): value for key, value in more.items()}}
        )

    def command_schema(self, command: str) -> CommandSchema | None:
        """What query-qmp-schema tells about a command, unrecorded; None when there is none of that name."""
        return Schema(self.ask("query-qmp-schema")).command(command)

    def node_info(self, node_name: str) -> JsonObject:
        """The node's element of query-named-block-nodes, unrecorded."""
        return self._pick("query-named-block-nodes", {"flat": True}, "node-name", node_name)

    def drive_info(self, drive: Drive | str) -> JsonObject:
        """The drive's element of query-block, unrecorded."""
        return self._pick("query-block", {}, "device", drive.id if isinstance(drive, Drive) else drive)

    def wait_event(self, name: str, *, seconds: float | None = None) -> Moment:
        """Waits for the first event of that name that is no job's, as STOP; the golden has those up to it here."""
        recorder = self._session.recorder
        message = recorder.wait(
            lambda: recorder.find_event(0, lambda event, _: event == name),
            waiting_for=f"the event {name}",
            seconds=seconds,
        )
        recorder.claim(f"{message.monitor} events", message.at)
        return Moment(at=message.at, what=name)

    def quit(self) -> Exchange:
        """`quit` as part of the story: the reply, all that the jobs and the machine still say, exit status 0."""
        exchange = self._session.execute("quit", {}, recorded=True)
        self._session.machine.expect_end(0)
        self._session.running = False
        recorder = self._session.recorder
        last = len(recorder.raw) - 1
        for lane in [*dict.fromkeys(job.id for job in self._jobs), f"{self._session.machine.monitor.name} events"]:
            recorder.claim(lane, last)
        return exchange

    def _claim_of_refused(self, exchange: Exchange) -> None:
        """A start that is refused late has told `created` and `null` of its job before: they belong to this step."""
        job_id = exchange.arguments.get("job-id", exchange.arguments.get("device"))
        if exchange.error_class is not None and exchange.name in BACKUP_COMMANDS:
            self._session.recorder.claim(str(job_id), exchange.reply_at)

    def _pick(self, command: str, arguments: JsonObject, key: str, wanted: str) -> JsonObject:
        listed = self._session.ask(command, arguments)
        assert isinstance(listed, Sequence)
        for item in listed:
            if isinstance(item, Mapping) and item.get(key) == wanted:
                return item
        self._session.fail(command, expected=f"{key}={wanted} in the list", got="not there")
