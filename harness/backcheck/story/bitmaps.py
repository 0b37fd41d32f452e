"""A dirty bitmap of a node: its commands, its place in transactions, and what queries tell of it.

It is looked up by node and name each time, so one that does not exist yet, or no longer, can be spoken of as well.
Queries tell of it in `dirty-bitmaps` of query-named-block-nodes, newest first; `name` is absent for an anonymous one,
`inconsistent` for one that is consistent, and only QEMU 5.2 adds `status` (`active`, `disabled`, `frozen`, `locked`).
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, JsonValue, number, objects
from backcheck.qmp import Exchange
from backcheck.story.expectations import Expected, asserted_keys, chosen, render_expected, render_got, wrong_keys
from backcheck.story.session import Session
from backcheck.story.transactions import Action
from backcheck.transcript import State

BitmapSource: TypeAlias = "str | Bitmap | JsonObject"
"""What is merged: a bitmap, the name of one on the same node, or `{"node": …, "name": …}`."""

COMMANDS: Mapping[str, str] = {
    verb: f"block-dirty-bitmap-{verb}" for verb in ("add", "remove", "clear", "enable", "disable", "merge")
}
RECORDED = ("count", "granularity", "recording", "busy", "persistent", "inconsistent")
"""What every release tells, where it applies."""


class Bitmap:
    """The bitmap of that name on that node."""

    def __init__(self, session: Session, node_name: str, name: str) -> None:
        self.node_name = node_name
        self.name = name
        self._session = session

    def __repr__(self) -> str:
        return f"{self.node_name}/{self.name}"

    # Commands, which must succeed

    def add(
        self, *, granularity: int | None = None, persistent: bool | None = None, disabled: bool | None = None
    ) -> "Bitmap":
        """block-dirty-bitmap-add; `disk.add_bitmap(…)` is the short way. None leaves an argument out."""
        return self._succeed(self.add_action(granularity=granularity, persistent=persistent, disabled=disabled))

    def remove(self) -> None:
        """block-dirty-bitmap-remove."""
        self._succeed(self.action("remove"))

    def clear(self) -> "Bitmap":
        """block-dirty-bitmap-clear."""
        return self._succeed(self.action("clear"))

    def enable(self) -> "Bitmap":
        """block-dirty-bitmap-enable."""
        return self._succeed(self.action("enable"))

    def disable(self) -> "Bitmap":
        """block-dirty-bitmap-disable."""
        return self._succeed(self.action("disable"))

    def merge(self, *sources: BitmapSource) -> "Bitmap":
        """block-dirty-bitmap-merge of these into this one."""
        return self._succeed(self.merge_action(*sources))

    def expect_refused(
        self, verb: str, *sources: BitmapSource, error: str | None = None, **more: JsonValue
    ) -> Exchange:
        """A command that must be refused: `owed.expect_refused("merge", "b1")`, `("clear", error="exact text")`.

        The golden has the text anyway; give it where the case promises it and all releases agree.
        """
        action = self.merge_action(*sources) if verb == "merge" and sources else self.action(verb, **more)
        exchange = self._session.execute(action.type, action.data, recorded=True)
        if exchange.error_class is None or error not in (None, exchange.description):
            got = "success" if exchange.error_class is None else repr(exchange.description)
            self._session.fail(f"{action.type} {self}", expected=repr(error) if error else "an error", got=got)
        return exchange

    # Actions of a transaction

    def action(self, verb: str, **more: JsonValue) -> Action:
        """`owed.action("clear")`, for `t.transaction()`; what is merged goes into `merge_action()`."""
        if verb not in COMMANDS:
            raise UsageError(f"a bitmap has no verb {verb!r}; there are {', '.join(COMMANDS)}")
        key = "target" if verb == "merge" else "name"
        return Action(COMMANDS[verb], {"node": self.node_name, key: self.name}, **more)

    def add_action(
        self, *, granularity: int | None = None, persistent: bool | None = None, disabled: bool | None = None
    ) -> Action:
        """Its making, as an action."""
        given: dict[str, JsonValue] = {"granularity": granularity, "persistent": persistent, "disabled": disabled}
        return self.action("add", **{key: value for key, value in given.items() if value is not None})

    def merge_action(self, *sources: BitmapSource) -> Action:
        """The merge of these into this one, as an action."""
        return self.action("merge", bitmaps=[self._as_source(source) for source in sources])

    # What queries tell

    def expect(self, **expected: Expected) -> "Bitmap":
        """Expects these values now and puts them into the golden: `owed.expect(count=65536, busy=False)`.

        `inconsistent=False` expects what QEMU then does not say.
        """
        values = self.info()
        if expected.get("inconsistent") is False:
            expected["inconsistent"] = None
        if wrong := wrong_keys(expected, values):
            wanted = render_expected(expected, values, wrong)
            self._session.fail(f"bitmap {self}", expected=wanted, got=render_got(values, wrong))
        self._record(chosen(values, expected), asserted_keys(expected, values))
        return self

    def record(self, *keys: str) -> JsonObject:
        """Puts these values, or all that every release tells, into the golden; returns what the query says."""
        values = self.info()
        self._record(chosen(values, keys or RECORDED), ())
        return values

    def info(self) -> JsonObject:
        """Its element of the node's `dirty-bitmaps`, unrecorded. Fails the case when there is none."""
        found = self._find()
        if found is None:
            self._session.fail(f"bitmap {self}", expected="that bitmap", got="none of that name")
        return found

    @property
    def count(self) -> int:
        """How many bytes are dirty, unrecorded."""
        return number(self.info()["count"])

    def exists(self) -> bool:
        """Whether the node has it, unrecorded."""
        return self._find() is not None

    def sha256(self) -> str:
        """The hash of its bits, by x-debug-block-dirty-bitmap-sha256, unrecorded."""
        arguments = {"node": self.node_name, "name": self.name}
        answer = self._session.ask("x-debug-block-dirty-bitmap-sha256", arguments)
        assert isinstance(answer, Mapping), "the schema says so"
        return str(answer["sha256"])

    def expect_same_bits(self, other: "Bitmap") -> "Bitmap":
        """Expects the same bits as another bitmap of the same size and granularity has."""
        ours, theirs = self.sha256(), other.sha256()
        if ours != theirs:
            self._session.fail(f"bitmap {self}", expected=f"the bits of {other}, {theirs}", got=ours)
        return self

    # How it is done

    def _as_source(self, source: BitmapSource) -> JsonValue:
        if isinstance(source, Bitmap):
            here = source.node_name == self.node_name
            return source.name if here else {"node": source.node_name, "name": source.name}
        return source

    def _succeed(self, action: Action) -> "Bitmap":
        self._session.expect_success(self._session.execute(action.type, action.data, recorded=True))
        return self

    def _find(self) -> JsonObject | None:
        listed = bitmaps_of(self._session, self.node_name)
        return next((bitmap for bitmap in listed if bitmap.get("name") == self.name), None)

    def _record(self, values: JsonObject, asserted: tuple[str, ...]) -> None:
        subject = f"bitmap {self}"
        at = self._session.recorder.note(f"state of {subject}")
        self._session.recorder.add(State(subject=subject, values=values, at=at, asserted=asserted))


def bitmaps_of(session: Session, node_name: str) -> Sequence[JsonObject]:
    """What query-named-block-nodes tells of a node's bitmaps. Fails the case when there is no such node."""
    nodes = objects(session.ask("query-named-block-nodes", {"flat": True}))
    node = next((node for node in nodes if node["node-name"] == node_name), None)
    if node is None:
        session.fail("query-named-block-nodes", expected=f"a node {node_name}", got="none of that name")
    return objects(node.get("dirty-bitmaps", []))
