"""Opening nodes: from a filename, a json: name, an option tree, or a reference to a node that is already open.

The steps and their order are QEMU's: the file below a format is opened first, the format is probed if nobody named it,
the node gets its name, its driver opens it, the backing chain follows, and last come options that nobody took.
"""

import errno
import sys
from typing import TYPE_CHECKING

from backcheck_engine.block.child import ChildRole
from backcheck_engine.block.driver import Driver, DriverKind
from backcheck_engine.block.driver_table import driver_class, driver_name_for, unknown_driver
from backcheck_engine.block.filenames import JSON_PREFIX, parse_json_filename, relative_to_image
from backcheck_engine.block.generic_options import Inherited, settings_for_children, take_generic
from backcheck_engine.block.key_order import in_qemu_order
from backcheck_engine.block.node import Node, NoDriver
from backcheck_engine.block.options import Options
from backcheck_engine.block.probing import PROBE_BYTES, RAW, probe
from backcheck_engine.errors import BlockError, EngineError, OptionError
from backcheck_engine.json_value import JsonObject

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph


MAX_DEPTH = 200
"""How many nodes may lie one below the other: what is deeper is a chain of backing files that bites its tail."""


class _TooDeep(BlockError):
    """More than MAX_DEPTH nodes lie one below the other; told once, not once for each."""


async def open_node(
    graph: "Graph",
    tree: JsonObject | None = None,
    *,
    filename: str | None = None,
    reference: str | None = None,
    read_only: bool = False,
    no_backing: bool = False,
    no_io: bool = False,
    check: bool = False,
) -> Node:
    """A node with one reference, which the caller owns.

    `tree` is a BlockdevOptions tree (nested or dotted keys; typed values or strings) with all generic options: driver,
    node-name, read-only, auto-read-only, cache.direct, cache.no-flush, discard, detect-zeroes, force-share. Without
    `driver` the format is probed. `read_only` is the default for that option. `no_backing` leaves the image's backing
    file alone; `no_io` is for who only looks at metadata; `check` tolerates corruption, for repair.
    Raises BlockError, ImageError or OptionError in QEMU's words; the error's `hint`, if any, is for tools.
    """
    inherited = Inherited(read_only=read_only, no_io=no_io, check=check)
    opening = _Opening(graph, filename, Options(tree), inherited, no_backing=no_backing)
    return await opening.run(reference)


class Opener:
    """What a driver's `open` gets: its node, its options to consume, and the way to its children.

    Generic options are on the node already: `opener.node.read_only`, `.cache.direct`, ….
    """

    def __init__(self, node: Node, options: Options, inherited: Inherited, *, no_backing: bool) -> None:
        self.node = node
        self.options = options
        self.no_backing = no_backing
        self.no_io = inherited.no_io
        """Only metadata will be asked for."""
        self.check = inherited.check
        """Opened for check or repair: corruption is to be tolerated."""
        self._inherited = inherited

    @property
    def read_only(self) -> bool:
        """Whether the node is opened read-only."""
        return self.node.read_only

    def take_filename(self) -> str:
        """The option `filename`; '' when there is none."""
        return self.options.take_str("filename") or ""

    async def child(
        self, name: str, *, role: ChildRole | None = None, required: bool = True, filename: str | None = None
    ) -> Node | None:
        """The node that the options describe under `name` (or `filename`), attached as a child; None if there is none.

        The role is that of a filter's child, or of a format's whole image, unless given.
        """
        if role is None:
            is_filter = self.node.driver.kind is DriverKind.FILTER
            role = ChildRole.FILTERED | ChildRole.PRIMARY if is_filter else ChildRole.IMAGE
        inherited = self._inherited.for_child(self.node, role, protocol=self._inherited.protocol)
        child = await _open_child(self.node.graph, self.options, name, filename, inherited, required=required)
        if child is None:
            return None
        try:
            self.node.graph.attach(child, name, owner=self.node, role=role)
        finally:
            await child.unref()
        return child

    async def file(self) -> Node:
        """The child `file`, which this driver cannot do without."""
        child = await self.child("file")
        assert child is not None
        return child

    def set_backing(self, filename: str, format_name: str) -> None:
        """What the image's header names as its backing; it is opened after the driver, unless options override it."""
        self.node.backing_file = filename
        self.node.auto_backing_file = filename
        self.node.backing_format = format_name


async def _open_child(
    graph: "Graph", options: Options, name: str, filename: str | None, inherited: Inherited, *, required: bool
) -> Node | None:
    """The node behind the options `name` (a reference) or `name.*`, with a reference for the caller."""
    nested = options.children(name)
    reference = options.take_text(name)
    if filename is None and reference is None and not len(nested):
        if required:
            raise BlockError(f'A block device must be specified for "{name}"', errno.EINVAL)
        return None
    return await _Opening(graph, filename, nested, inherited).run(reference)


class _Opening:
    """The opening of one node."""

    def __init__(
        self,
        graph: "Graph",
        filename: str | None,
        options: Options,
        inherited: Inherited,
        *,
        no_backing: bool = False,
    ) -> None:
        self.graph = graph
        self.filename = filename
        self.options = options
        self.inherited = inherited
        self.no_backing = no_backing
        self.node = Node(graph)

    async def run(self, reference: str | None) -> Node:
        """The open node, or the one that `reference` names."""
        if reference is not None:
            if self.filename is not None or len(self.options):
                raise BlockError(
                    "Cannot reference an existing block device with additional options or a new filename",
                    errno.EINVAL,
                )
            node = self.graph.find_device_or_node(reference)
            if node in self.graph.being_opened and node is not self.inherited.parent:
                # Only below itself can a client name a node that is not open yet. QEMU aborts.
                raise BlockError(f"Node '{node.node_name}' is not open yet", errno.EINVAL)
            return node.ref()
        if self.inherited.depth > MAX_DEPTH:
            raise _TooDeep("Too many levels of images", errno.ELOOP)
        self._join_json_filename()
        chosen = self._choose_driver()
        settings_for_children(self.node, self.options, self.inherited)
        self._take_null_backing()
        below = None
        try:
            if chosen is None or not _is_protocol_level(chosen):
                below = await self._open_file_below(chosen)
                if chosen is None:
                    chosen = await self._probe(below)
            return await self._open(chosen, below)
        finally:
            if below is not None:
                await below.unref()

    # The driver.

    def _join_json_filename(self) -> None:
        """Options in a json: name count unless the same option was given directly."""
        if self.filename is not None and self.filename.startswith(JSON_PREFIX):
            for key, value in parse_json_filename(self.filename).items():
                self.options.set_default(key, value)
            self.filename = None

    def _choose_driver(self) -> type[Driver] | None:
        """The driver that is named or follows from the filename; None when the format is to be probed."""
        name = self.options.take_text("driver")
        chosen = None
        if name is not None:
            chosen = driver_class(name)
            if chosen is None:
                raise unknown_driver(name)
        protocol = self.inherited.protocol if chosen is None else _is_protocol_level(chosen)
        if not protocol:
            return chosen
        from_filename = self.filename is not None
        if self.filename is not None:
            if "filename" in self.options:
                raise BlockError("Can't specify 'file' and 'filename' options at the same time", errno.EINVAL)
            self.options.set("filename", self.filename)
            self.filename = None
        given = self.options.peek("filename")
        if chosen is None:
            if not isinstance(given, str):
                raise BlockError("Must specify either driver or file", errno.EINVAL)
            chosen = driver_class(driver_name_for(given, allow_prefix=from_filename))
            assert chosen is not None
        if from_filename and isinstance(given, str):
            self.options.take("filename")
            self._refuse_beside_filename(chosen)
            for key, value in chosen.parse_filename(given).items():
                self.options.set_default(key, value)
        return chosen

    def _refuse_beside_filename(self, chosen: type[Driver]) -> None:
        names = chosen.not_with_filename
        prefixes = tuple(name for name in names if name.endswith("."))
        for key in in_qemu_order(self.options.keys()):
            if key in names or key.startswith(prefixes):
                raise BlockError(f"Option '{key}' cannot be used with a file name", errno.EINVAL)

    def _take_null_backing(self) -> None:
        if self.options.take_null("backing"):
            self.no_backing = True
        elif self.options.peek("backing") == "":
            self.options.take("backing")
            self.no_backing = True
            print('warning: Use of "backing": "" is deprecated; use "backing": null instead', file=sys.stderr)

    async def _open_file_below(self, chosen: type[Driver] | None) -> Node | None:
        """The node `file`, opened before the format's driver; afterwards the options refer to it by name."""
        self.node.driver_kind = DriverKind.FORMAT if chosen is None else chosen.kind
        inherited = self.inherited.for_child(self.node, ChildRole.IMAGE, protocol=self.inherited.protocol)
        below = await _open_child(self.graph, self.options, "file", self.filename, inherited, required=False)
        if below is not None:
            self.options.set("file", below.node_name)
        return below

    async def _probe(self, below: Node | None) -> type[Driver]:
        if below is None:
            raise BlockError("Must specify either driver or file", errno.EINVAL)
        name = RAW
        if below.size:
            try:
                name = probe(bytes(await below.pread(0, PROBE_BYTES)))
            except BlockError as error:
                raise BlockError(
                    f"Could not read image for determining its format: {error.message}", error.errno
                ) from error
        self.node.probed = True
        chosen = driver_class(name)
        if chosen is None:
            raise unknown_driver(name)
        return chosen

    # The node.

    async def _open(self, chosen: type[Driver], below: Node | None) -> Node:
        node, options = self.node, self.options
        node.driver_kind = chosen.kind
        node.options = options.as_flat()
        node.no_io = self.inherited.no_io
        node.inherits_from = self.inherited.parent
        node_name = options.take_str("node-name")
        shown = below.filename if below is not None else str(options.peek("filename") or "")
        if chosen.needs_filename and not shown:
            raise BlockError(f"The '{chosen.format_name}' block driver requires a file name", errno.EINVAL)
        take_generic(node, options, self.inherited)
        self.graph.register(node, node_name)
        try:
            await self._open_driver(chosen)
            await self._open_backing()
            self._refuse_left_overs()
        except BaseException:
            await node.unref()
            raise
        return node

    async def _open_driver(self, chosen: type[Driver]) -> None:
        opener = Opener(self.node, self.options, self.inherited, no_backing=self.no_backing)
        self.graph.being_opened.add(self.node)
        try:
            await chosen.open(opener)
        except BaseException:
            # A driver that did not open cleans up after itself; there is nothing to close.
            NoDriver(self.node)
            raise
        finally:
            self.graph.being_opened.discard(self.node)
        try:
            self.node.refresh_size()
        except BlockError as error:
            raise BlockError(f"Could not refresh total sector count: {error.message}", error.errno) from error
        self.node.refresh_limits()

    async def _open_backing(self) -> None:
        """Open and attach the backing that the options or the image's header name."""
        node = self.node
        if self.no_backing:
            return
        reference = self.options.take_text("backing")
        nested = self.options.children("backing")
        filename = None
        if reference is None and "file.filename" not in nested:
            if not node.backing_file and not len(nested):
                return
            if node.backing_file:
                filename = relative_to_image(node.directory_base(), node.backing_file)
        if not node.driver.supports_backing:
            raise BlockError("Driver doesn't support backing files", errno.EINVAL)
        implicit = reference is None and not len(nested)
        if reference is None and node.backing_format:
            nested.set_default("driver", node.backing_format)
        role = ChildRole.FILTERED if node.is_filter else ChildRole.COW
        inherited = self.inherited.for_child(node, role, protocol=False)
        try:
            backing = await _Opening(self.graph, filename, nested, inherited).run(reference)
        except EngineError as error:
            if isinstance(error, _TooDeep) and self.inherited.depth:
                raise
            raise BlockError(f"Could not open backing file: {error.message}", errno.EINVAL, hint=error.hint) from error
        try:
            if implicit:
                node.auto_backing_file = backing.filename
            self.graph.attach(backing, "backing", owner=node, role=role)
        finally:
            await backing.unref()

    def _refuse_left_overs(self) -> None:
        if not len(self.options):
            return
        key = in_qemu_order(self.options.keys())[0]
        driver = self.node.driver
        if _is_protocol_level(type(driver)):
            raise OptionError(f"Block protocol '{driver.format_name}' doesn't support the option '{key}'")
        raise OptionError(f"Block format '{driver.format_name}' does not support the option '{key}'")


def _is_protocol_level(chosen: type[Driver]) -> bool:
    return chosen.kind is DriverKind.PROTOCOL or chosen.protocol_prefix is not None
