"""The filter `blkdebug`: errors injected and requests held on purpose. Its rules are in `blkdebug_rules`."""

import asyncio
import errno
from dataclasses import dataclass

from backcheck_engine.block.child import Child
from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind, Limits
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import Opener
from backcheck_engine.block.options import Options, bad_choice
from backcheck_engine.block.permissions import Permission, permission_from_qapi
from backcheck_engine.block.request import BlockStatus, Buffer, RequestFlag
from backcheck_engine.drivers.filter.blkdebug_rules import (
    EVENTS,
    InjectError,
    Rule,
    SetState,
    Suspend,
    applies,
    parse_config,
    take_rules,
)
from backcheck_engine.errors import BlockError, OptionError
from backcheck_engine.json_value import JsonObject

_INITIAL_STATE = 1
_MAX_CONSTRAINT = 2**31 - 1
_PREFIX = "blkdebug:"


@dataclass(eq=False, slots=True)
class _Held:
    """A request that a breakpoint holds."""

    tag: str
    released: "asyncio.Future[None]"


class BlkdebugDriver(Driver):
    """Passes everything to its child `image`, except what its rules say."""

    format_name = "blkdebug"
    kind = DriverKind.FILTER
    protocol_prefix = "blkdebug"
    supports_discard = True
    zero_flags = RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK | RequestFlag.FUA
    strong_options = (
        "config",
        "inject-error.",
        "set-state.",
        "align",
        "max-transfer",
        "opt-write-zero",
        "max-write-zero",
        "opt-discard",
        "max-discard",
    )

    mutable_options = ()

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._state = _INITIAL_STATE
        self._config = ""
        self._rules: list[Rule] = []
        self._active: list[InjectError] = []
        """The errors that the last event with any has switched on, first match first."""
        self._held: list[_Held] = []
        self._arrivals: list[asyncio.Future[None]] = []
        self._taken = self._unshared = Permission.NONE
        self._align = self._max_transfer = 0
        self._opt_write_zero = self._max_write_zero = self._opt_discard = self._max_discard = 0

    @classmethod
    async def open(cls, opener: Opener) -> "BlkdebugDriver":
        driver = cls(opener.node)
        options = opener.options
        driver._config = options.take_str("config") or ""
        driver._rules = driver._read_config() + take_rules(options)
        driver._taken = _take_permissions(options, "take-child-perms")
        driver._unshared = _take_permissions(options, "unshare-child-perms")
        await opener.child("image", filename=options.take_str("x-image"))
        driver._take_constraints(options)
        opener.node.wants_debug_events = True
        await driver.debug_event("none")
        return driver

    @classmethod
    def parse_filename(cls, filename: str) -> JsonObject:
        if not filename.startswith(_PREFIX):
            return {"x-image": filename}
        config, colon, image = filename[len(_PREFIX) :].partition(":")
        if not colon:
            raise OptionError("blkdebug requires both config file and image path")
        options: JsonObject = {"x-image": image}
        return {**options, "config": config} if config else options

    def _read_config(self) -> list[Rule]:
        if not self._config:
            return []
        try:
            with open(self._config, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
        except OSError as error:
            reason = BlockError.from_os_error(error)
            raise reason.prefixed("Could not read blkdebug config file: ") from error
        return parse_config(text)

    def _take_constraints(self, options: Options) -> None:
        """Limits that the node is to show; each is a multiple of the one that it is built on."""
        base = self._image.limits.request_alignment
        self._align = options.take_size("align")
        if self._align and (self._align >= _MAX_CONSTRAINT or self._align & (self._align - 1)):
            raise _unmet("align", self._align)
        align = max(self._align, base)
        self._max_transfer = _take_multiple(options, "max-transfer", align)
        self._opt_write_zero = _take_multiple(options, "opt-write-zero", align)
        self._max_write_zero = _take_multiple(options, "max-write-zero", max(self._opt_write_zero, align))
        self._opt_discard = _take_multiple(options, "opt-discard", align)
        self._max_discard = _take_multiple(options, "max-discard", max(self._opt_discard, align))

    @property
    def _image(self) -> Node:
        return self.node.children["image"].node

    # Requests.

    async def pread(self, offset: int, length: int) -> Buffer:
        await self._fail_if_due(offset, length, "read")
        return await self._image.pread(offset, length)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._fail_if_due(offset, len(data), "write")
        await self._image.pwrite(offset, data, flags)

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        limits = self.node.limits
        if length < max(limits.request_alignment, limits.pwrite_zeroes_alignment):
            raise BlockError.from_errno(errno.ENOTSUP)
        await self._fail_if_due(offset, length, "write-zeroes")
        await self._image.pwrite_zeroes(offset, length, flags)

    async def discard(self, offset: int, length: int) -> None:
        if length < self.node.limits.pdiscard_alignment:
            raise BlockError.from_errno(errno.ENOTSUP)
        await self._fail_if_due(offset, length, "discard")
        await self._image.discard(offset, length)

    async def flush(self) -> None:
        await self._fail_if_due(0, 0, "flush")

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        await self._fail_if_due(offset, length, "block-status")
        return await super().block_status(offset, length, want_zero)

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        await self._image.truncate(size, exact=exact, preallocation=preallocation, zero=zero)

    async def _fail_if_due(self, offset: int, length: int, io_type: str) -> None:
        """Raise the error that an active rule has for this request."""
        rule = next((rule for rule in self._active if rule.matches(offset, length, io_type)), None)
        if rule is None or not rule.error:
            return
        if rule.once:
            self._active.remove(rule)
            self._rules.remove(rule)
        if not rule.immediately:
            await asyncio.sleep(0)
        raise BlockError.from_errno(rule.error)

    # Events.

    async def debug_event(self, event: str) -> None:
        """Take the actions of the rules for `event`; those for one event replace the errors of the one before."""
        due = [rule for rule in self._rules if rule.event == event and applies(rule, self._state)]
        errors = [rule for rule in due if isinstance(rule, InjectError)]
        if errors:
            self._active = errors
        held = [self._hold(rule) for rule in due if isinstance(rule, Suspend)]
        states = [rule.new_state for rule in due if isinstance(rule, SetState)]
        if states:
            self._state = states[-1]
        for request in held:
            await request.released

    def _hold(self, rule: Suspend) -> _Held:
        """A breakpoint holds one request and is gone then."""
        self._rules.remove(rule)
        request = _Held(rule.tag, asyncio.get_running_loop().create_future())
        self._held.insert(0, request)
        print(f"blkdebug: Suspended request '{rule.tag}'", flush=True)
        for waiter in self._arrivals:
            if not waiter.done():
                waiter.set_result(None)
        self._arrivals.clear()
        return request

    # Breakpoints.

    def breakpoint(self, event: str, tag: str) -> None:
        """Hold the next request that reports `event`."""
        if event not in EVENTS:
            raise BlockError.from_errno(errno.ENOENT)
        self._rules.insert(0, Suspend(event=event, state=0, tag=tag))

    def remove_breakpoint(self, tag: str) -> None:
        """Forget the breakpoints `tag` and let go what they hold."""
        kept = [rule for rule in self._rules if not (isinstance(rule, Suspend) and rule.tag == tag)]
        held = [request for request in self._held if request.tag == tag]
        if len(kept) == len(self._rules) and not held:
            raise BlockError.from_errno(errno.ENOENT)
        self._rules = kept
        for request in held:
            self._release(request)

    def resume(self, tag: str) -> None:
        """Let the newest request go that `tag` holds."""
        request = next((request for request in self._held if request.tag == tag), None)
        if request is None:
            raise BlockError.from_errno(errno.ENOENT)
        self._release(request)

    def _release(self, request: _Held) -> None:
        self._held.remove(request)
        print(f"blkdebug: Resuming request '{request.tag}'", flush=True)
        if not request.released.done():
            request.released.set_result(None)

    def is_suspended(self, tag: str) -> bool:
        """Whether `tag` holds a request."""
        return any(request.tag == tag for request in self._held)

    async def wait_until_suspended(self, tag: str) -> None:
        """Return when `tag` holds a request."""
        while not self.is_suspended(tag):
            arrival = asyncio.get_running_loop().create_future()
            self._arrivals.append(arrival)
            await arrival

    # Facts.

    def size(self) -> int:
        return self._image.size

    def allocated_size(self) -> int | None:
        """Nobody knows: to QEMU this is a protocol that does not tell."""
        return None

    def info(self) -> DriverInfo | None:
        return self._image.driver.info()

    def has_zero_init(self) -> bool:
        return self._image.driver.has_zero_init()

    def refresh_limits(self, limits: Limits) -> None:
        limits.request_alignment = self._align or limits.request_alignment
        limits.max_transfer = self._max_transfer or limits.max_transfer
        limits.pwrite_zeroes_alignment = self._opt_write_zero or limits.pwrite_zeroes_alignment
        limits.max_pwrite_zeroes = self._max_write_zero or limits.max_pwrite_zeroes
        limits.pdiscard_alignment = self._opt_discard or limits.pdiscard_alignment
        limits.max_pdiscard = self._max_discard or limits.max_pdiscard

    def refresh_filename(self) -> str | None:
        """blkdebug:CONFIG:IMAGE, when it says everything."""
        image = self._image.exact_filename
        prefixes = tuple(name for name in self.strong_options if name.endswith("."))
        plain = not any(
            key.startswith(prefixes) or (key in self.strong_options and key != "config") for key in self.node.options
        )
        return f"{_PREFIX}{self._config}:{image}" if plain and image else ""

    def child_permissions(
        self, child: Child, parent_permissions: Permission, parent_shared: Permission
    ) -> tuple[Permission, Permission]:
        needed, shared = super().child_permissions(child, parent_permissions, parent_shared)
        return needed | self._taken, shared & ~self._unshared


def _unmet(name: str, value: int) -> BlockError:
    return BlockError(f"Cannot meet constraints with {name} {value}", errno.EINVAL)


def _take_multiple(options: Options, name: str, alignment: int) -> int:
    value = options.take_size(name)
    if value and (value >= _MAX_CONSTRAINT or value % alignment):
        raise _unmet(name, value)
    return value


def _take_permissions(options: Options, name: str) -> Permission:
    permissions = Permission.NONE
    for item in options.take_str_list(name):
        permission = permission_from_qapi(item)
        if permission is None:
            raise bad_choice("null", item)
        permissions |= permission
    return permissions
