"""The options that every node has, whatever its driver, and what a child takes over from its parent."""

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.child import ChildRole
from backcheck_engine.block.driver import DriverKind
from backcheck_engine.block.options import Options, parse_bool
from backcheck_engine.errors import BlockError, OptionError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

DISCARD: Final = {"ignore": "ignore", "off": "ignore", "unmap": "unmap", "on": "unmap"}
"""What the option `discard` may be, and the mode that it stands for."""
_DETECT_ZEROES = ("off", "on", "unmap")

_FLAGS = ("read-only", "auto-read-only", "cache.direct", "cache.no-flush", "force-share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What a node's parent, or the program that opens it, decides unless its own options do."""

    parent: "Node | None" = None
    """For whom the node is opened."""
    read_only: bool = False
    auto_read_only: bool = False
    direct: bool = False
    no_flush: bool = False
    force_share: bool = False
    discard: str = "ignore"
    protocol: bool = False
    """The node is the file below a format: not to be probed."""
    no_io: bool = False
    check: bool = False
    depth: int = 0
    """How many nodes are being opened above this one."""

    def for_child(self, parent: "Node", role: ChildRole, *, protocol: bool) -> "Inherited":
        """What a child of `parent`, which inherited this, takes over in `role`; `protocol`: unless it is a format."""
        is_backing = ChildRole.COW in role
        is_format = parent.driver_kind is DriverKind.FORMAT
        return Inherited(
            parent=parent,
            read_only=is_backing or parent.read_only,
            auto_read_only=not is_backing and parent.auto_read_only,
            direct=parent.cache.direct,
            no_flush=parent.cache.no_flush,
            force_share=parent.force_share,
            discard="unmap" if is_format and not is_backing else parent.discard_mode,
            protocol=(is_format and not is_backing) or ChildRole.METADATA in role or (protocol and not is_format),
            no_io=self.no_io and ChildRole.METADATA not in role,
            depth=self.depth + 1,
        )


def is_read_only(options: Options, inherited: Inherited) -> bool:
    """Whether the options, or else the parent, ask for a read-only node."""
    value = options.peek("read-only")
    return inherited.read_only if value is None else parse_bool("read-only", value)


def take_generic(node: "Node", options: Options, inherited: Inherited) -> None:
    """Set `node`'s own properties from `options`. Raises OptionError or BlockError in QEMU's words."""
    node.read_only = options.take_bool("read-only", inherited.read_only)
    node.auto_read_only = options.take_bool("auto-read-only", inherited.auto_read_only)
    node.cache.direct = options.take_bool("cache.direct", inherited.direct)
    node.cache.no_flush = node.no_flush = options.take_bool("cache.no-flush", inherited.no_flush)
    node.force_share = options.take_bool("force-share", inherited.force_share)
    if node.force_share and node.is_writable:
        raise BlockError("force-share=on can only be used with read-only images", errno.EINVAL)
    discard = options.take_str("discard")
    if discard is not None and discard not in DISCARD:
        raise OptionError("Invalid discard option")
    node.discard_mode = inherited.discard if discard is None else DISCARD[discard]
    node.detect_zeroes = take_detect_zeroes(options, node.discard_mode)


def take_detect_zeroes(options: Options, discard: str) -> str:
    """The option `detect-zeroes` of a node with that discard mode. Raises OptionError."""
    detect_zeroes = options.take_enum("detect-zeroes", _DETECT_ZEROES, "off")
    if detect_zeroes == "unmap" and discard != "unmap":
        raise OptionError("setting detect-zeroes to unmap is not allowed without setting discard operation to unmap")
    return detect_zeroes


def settings_for_children(node: "Node", options: Options, inherited: Inherited) -> None:
    """Put what children inherit on `node` before its own options are consumed: its file is opened first."""
    node.read_only = is_read_only(options, inherited)
    values = {
        name: default if (value := options.peek(name)) is None else parse_bool(name, value)
        for name, default in zip(
            _FLAGS[1:],
            (inherited.auto_read_only, inherited.direct, inherited.no_flush, inherited.force_share),
            strict=True,
        )
    }
    node.auto_read_only = values["auto-read-only"]
    node.cache.direct = values["cache.direct"]
    node.cache.no_flush = values["cache.no-flush"]
    node.force_share = values["force-share"]
    node.discard_mode = DISCARD.get(str(options.peek("discard")), inherited.discard)
