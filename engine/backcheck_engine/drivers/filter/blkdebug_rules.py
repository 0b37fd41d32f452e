"""The rules of blkdebug: which error to inject when, which event changes the state, and the file they are read from."""

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass

from backcheck_engine.block.options import Options
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.errors import OptionError

EVENTS = frozenset(
    (
        "l1_update",
        "l1_grow_alloc_table",
        "l1_grow_write_table",
        "l1_grow_activate_table",
        "l2_load",
        "l2_update",
        "l2_update_compressed",
        "l2_alloc_cow_read",
        "l2_alloc_write",
        "read_aio",
        "read_backing_aio",
        "read_compressed",
        "write_aio",
        "write_compressed",
        "vmstate_load",
        "vmstate_save",
        "cow_read",
        "cow_write",
        "reftable_load",
        "reftable_grow",
        "reftable_update",
        "refblock_load",
        "refblock_update",
        "refblock_update_part",
        "refblock_alloc",
        "refblock_alloc_hookup",
        "refblock_alloc_write",
        "refblock_alloc_write_blocks",
        "refblock_alloc_write_table",
        "refblock_alloc_switch_table",
        "cluster_alloc",
        "cluster_alloc_bytes",
        "cluster_free",
        "flush_to_os",
        "flush_to_disk",
        "pwritev_rmw_head",
        "pwritev_rmw_after_head",
        "pwritev_rmw_tail",
        "pwritev_rmw_after_tail",
        "pwritev",
        "pwritev_zero",
        "pwritev_done",
        "empty_image_prepare",
        "l1_shrink_write_table",
        "l1_shrink_free_l2_clusters",
        "cor_write",
        "cluster_alloc_space",
        "none",
    )
)
"""BlkdebugEvent."""

IO_TYPES = frozenset({"read", "write", "write-zeroes", "discard", "flush", "block-status"})
"""BlkdebugIOType."""

_DEFAULT_IO_TYPES = IO_TYPES - {"block-status"}
_ANY_STATE = 0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class InjectError:
    """After `event`, requests that match fail with `error`."""

    event: str
    state: int
    io_types: frozenset[str]
    error: int
    offset: int | None
    once: bool
    immediately: bool

    def matches(self, offset: int, length: int, io_type: str) -> bool:
        """Whether a request of that range and type is to fail."""
        in_range = self.offset is None or offset <= self.offset < offset + length
        return in_range and io_type in self.io_types


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SetState:
    """At `event`, the state becomes `new_state`."""

    event: str
    state: int
    new_state: int


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Suspend:
    """At `event`, the request that reports it is held, once."""

    event: str
    state: int
    tag: str


Rule = InjectError | SetState | Suspend


def applies(rule: Rule, state: int) -> bool:
    """Whether the rule counts in that state."""
    return rule.state in (_ANY_STATE, state)


def _take_event(options: Options) -> str:
    event = options.take_str("event")
    if event is None:
        raise OptionError("Missing event name for rule")
    return _known(event, EVENTS)


def _known(value: str, choices: frozenset[str]) -> str:
    if value not in choices:
        raise OptionError(f"invalid parameter value: {value}")
    return value


def _as_c_int(number: int) -> int:
    """What QEMU makes of a number that it keeps in an int."""
    return (number + 2**31) % 2**32 - 2**31


def take_inject_error(options: Options) -> InjectError:
    """The rule that one `inject-error` describes. Raises OptionError in QEMU's words."""
    event = _take_event(options)
    io_type = options.take_str("iotype")
    sector = options.take_int("sector", 2**64 - 1)
    return InjectError(
        event=event,
        state=options.take_int("state", _ANY_STATE),
        io_types=_DEFAULT_IO_TYPES if io_type is None else frozenset({_known(io_type, IO_TYPES)}),
        error=_as_c_int(options.take_int("errno", errno.EIO)),
        offset=None if sector in (-1, 2**64 - 1) else sector * SECTOR_SIZE,
        once=options.take_bool("once"),
        immediately=options.take_bool("immediately"),
    )


def take_set_state(options: Options) -> SetState:
    """The rule that one `set-state` describes. Raises OptionError in QEMU's words."""
    return SetState(
        event=_take_event(options),
        state=options.take_int("state", _ANY_STATE),
        new_state=options.take_int("new_state", _ANY_STATE),
    )


_TAKERS: dict[str, Callable[[Options], Rule]] = {"inject-error": take_inject_error, "set-state": take_set_state}

_KEYS = {
    "inject-error": ("event", "state", "iotype", "errno", "sector", "once", "immediately"),
    "set-state": ("event", "state", "new_state"),
}

_SECTION = re.compile(r'\[([^\s\]]+)(?:\s+"[^"]*")?\]')
_SETTING = re.compile(r'\s*(\S+)(?:\s*=\s*"([^"]+)")?')
"""QEMU reads a word and, if they follow, an equals sign and a value in quotes; the rest of the line is ignored."""


def take_rules(options: Options) -> list[Rule]:
    """The rules in a node's options, `inject-error.N.*` and `set-state.N.*`; one alone may do without the number."""
    rules: list[Rule] = []
    for group, take in _TAKERS.items():
        for item in options.take_list(group):
            rules.append(take(item))
            if len(item):
                raise OptionError(f"[{group}] section doesn't support the option '{item.keys()[0]}'")
        single = options.children(group)
        if len(single):
            rules.append(take(single))
            if len(single):
                raise OptionError(f"Unused option '{single.keys()[0]}' for [{group}]")
    return rules


def parse_config(text: str) -> list[Rule]:
    """The rules in a configuration file: sections [inject-error] and [set-state] with `key = "value"` lines."""
    sections: list[tuple[str, Options]] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if section := _SECTION.match(line):
            if section[1] not in _TAKERS:
                raise OptionError(f"There is no option group '{section[1]}'")
            sections.append((section[1], Options()))
        elif setting := _SETTING.match(line):
            if not sections:
                raise OptionError("no group defined")
            sections[-1][1].set(setting[1], setting[2] or "")
        else:
            raise OptionError("parse error")
    return [_rule_of_section(group, options) for group, options in sections]


def _rule_of_section(group: str, options: Options) -> Rule:
    unknown = [key for key in options.as_flat() if key not in _KEYS[group]]
    if unknown:
        raise OptionError(f"Invalid parameter '{unknown[0]}'")
    return _TAKERS[group](options)
