"""Which nodes a reopening is about, and with which options each goes on: those named, and those opened for them.

An option that is given counts first. A node below that was opened for its parent keeps what it was given itself, when
it is only referred to, and takes over from its parent what it was not given. Everything else goes back to its default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.child import ChildRole
from backcheck_engine.block.generic_options import DISCARD, take_detect_zeroes
from backcheck_engine.block.key_order import in_qemu_order
from backcheck_engine.block.options import Options, parse_bool
from backcheck_engine.errors import BlockError, OptionError

if TYPE_CHECKING:
    from backcheck_engine.block.child import Child
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject, JsonValue

_FLAGS: Final = ("read-only", "auto-read-only", "cache.direct", "cache.no-flush")
_COMMON: Final = frozenset((*_FLAGS, "node-name", "discard", "detect-zeroes"))
"""Options that every node may leave out, which puts them back to their defaults."""


@dataclass(slots=True, kw_only=True)
class Settings:
    """What of a node's options is the same for all drivers and may change."""

    read_only: bool
    auto_read_only: bool
    direct: bool
    no_flush: bool
    discard: str
    detect_zeroes: str

    @classmethod
    def of(cls, node: Node) -> Settings:
        """Those in force."""
        return cls(
            read_only=node.read_only,
            auto_read_only=node.auto_read_only,
            direct=node.cache.direct,
            no_flush=node.cache.no_flush,
            discard=node.discard_mode,
            detect_zeroes=node.detect_zeroes,
        )

    def put_in_force(self, node: Node) -> None:
        """Give them to `node`; who may write is not checked here."""
        node.read_only, node.auto_read_only = self.read_only, self.auto_read_only
        node.cache.direct = self.direct
        node.cache.no_flush = node.no_flush = self.no_flush
        node.discard_mode, node.detect_zeroes = self.discard, self.detect_zeroes


@dataclass(slots=True, kw_only=True, eq=False)
class ReopenEntry:
    """One node of a reopening."""

    node: Node
    given: JsonObject
    """Its options, flat, as the node keeps them."""
    settings: Settings
    told: dict[str, bool]
    """The flags that somebody said something about: the options, or the parent, or those that the node keeps."""
    is_backing_missing: bool
    """Nobody said what is to become of a backing."""
    rest: Options = field(default_factory=Options)
    """What the node's driver, and the check of what is left, have not taken yet."""


class ReopenQueue:
    """The entries of one reopening, parents first."""

    def __init__(self) -> None:
        self.entries: Final[list[ReopenEntry]] = []

    def add(self, node: Node, options: JsonObject) -> None:
        """Reopen `node`, and what was opened for it, with `options` (flat). Raises OptionError."""
        self._add(node, dict(options), {}, keeps_options=False)

    def _add(self, node: Node, given: JsonObject, inherited: dict[str, bool], *, keeps_options: bool) -> None:
        entry = next((entry for entry in self.entries if entry.node is node), None)
        if entry is not None or keeps_options:
            given = (entry.given if entry is not None else own_options(node)) | given
        is_missing = not keeps_options and "backing" not in given and "backing.driver" not in given
        told = (_flags_of(node) if keeps_options else {}) | inherited | _flags_in(given)
        settings = _settings(node, told)
        if entry is None:
            entry = ReopenEntry(node=node, given=given, settings=settings, told=told, is_backing_missing=is_missing)
            self.entries.append(entry)
        else:
            entry.settings, entry.told, entry.is_backing_missing = settings, told, is_missing
        for child in list(node.children.values()):
            if child.node.inherits_from is node:
                self._add_child(child, given, told, keeps_options=keeps_options)
        entry.given = given

    def _add_child(self, child: Child, given: JsonObject, told: dict[str, bool], *, keeps_options: bool) -> None:
        """A node that was opened for its parent; `given` are the parent's options, and lose those about the child."""
        own: JsonObject = {}
        if child.name in given:
            if given[child.name] != child.node.node_name:
                return
            keeps_options = True
        else:
            prefix = f"{child.name}."
            own = {key.removeprefix(prefix): given.pop(key) for key in list(given) if key.startswith(prefix)}
        if ChildRole.COW in child.role:
            told = told | {"read-only": True, "auto-read-only": False}
        self._add(child.node, own, told, keeps_options=keeps_options)


def own_options(node: Node) -> JsonObject:
    """The options that the node was given, without those about its children."""
    prefixes = tuple(f"{name}." for name in node.children)
    own = {
        key: value for key, value in node.options.items() if key not in node.children and not key.startswith(prefixes)
    }
    return {"driver": node.format_name, **own}


def _flags_of(node: Node) -> dict[str, bool]:
    return dict(zip(_FLAGS, (node.read_only, node.auto_read_only, node.cache.direct, node.cache.no_flush), strict=True))


def _flags_in(given: JsonObject) -> dict[str, bool]:
    """Raises OptionError."""
    return {name: parse_bool(name, given[name]) for name in _FLAGS if given.get(name) is not None}


def _settings(node: Node, told: dict[str, bool]) -> Settings:
    """What nobody said anything about is off, except for discards, which go on as before."""
    read_only, auto_read_only, direct, no_flush = (told.get(name, False) for name in _FLAGS)
    return Settings(
        read_only=read_only,
        auto_read_only=auto_read_only,
        direct=direct,
        no_flush=no_flush,
        discard=node.discard_mode,
        detect_zeroes="off",
    )


def begin_options(entry: ReopenEntry) -> None:
    """Fill `entry.rest`, and see that nothing is left out that cannot be. Raises OptionError or BlockError."""
    node = entry.node
    rest = entry.rest = Options(entry.given)
    for name in _FLAGS:
        rest.take(name)
    discard = rest.take_str("discard")
    if discard is not None and discard not in DISCARD:
        raise OptionError("Invalid discard option")
    entry.settings.discard = entry.settings.discard if discard is None else DISCARD[discard]
    entry.settings.detect_zeroes = take_detect_zeroes(rest, entry.settings.discard)
    mutable = check_reopenable(node)
    for key in in_qemu_order(own_options(node)):
        if key not in rest and key not in _COMMON and not key.startswith(mutable):
            raise BlockError(f"Option '{key}' cannot be reset to its default value")


def check_reopenable(node: Node) -> tuple[str, ...]:
    """How the options begin that may change. Raises BlockError when the driver cannot have any of it."""
    mutable = node.driver.mutable_options
    if mutable is None:
        raise BlockError(
            f"Block format '{node.format_name}' used by node '{node.device_or_node_name}' "
            "does not support reopening files"
        )
    return mutable


def refuse_changes(entry: ReopenEntry) -> None:
    """What nobody took must be as it was. Raises BlockError."""
    old = own_options(entry.node)
    for key in in_qemu_order(entry.rest.keys()):
        value = entry.rest.peek(key)
        if isinstance(value, str) and entry.node.child_node(key) is entry.node.graph.nodes.get(value, entry):
            continue
        if not _is_same(value, old.get(key)):
            raise BlockError(f"Cannot change the option '{key}'")


def _is_same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are of the same type, too: a number is no truth value."""
    return type(one) is type(other) and one == other
