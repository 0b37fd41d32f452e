"""backcheck-img bitmap: the persistent dirty bitmaps of an image, added, removed and changed.

Several actions may be given; they are done in their order until one fails, and those before it stay done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.block.graph import Graph
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.jobs.bitmap_actions import (
    BitmapAddAction,
    BitmapClearAction,
    BitmapDisableAction,
    BitmapEnableAction,
    BitmapMergeAction,
    BitmapReference,
    BitmapRemoveAction,
    NewBitmap,
    do_alone,
)
from backcheck_engine.jobs.transaction import Action
from backcheck_engine.tools.command_line import Option
from backcheck_engine.tools.images import ImageName, opened_images
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.usage import FORMAT, IMAGE_OPTS, OBJECT, Invocation, size_argument

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

USAGE = (
    "( --merge SOURCE | --add | --remove | --clear | --enable | --disable ).. [-f FMT | --image-opts] "
    "[-b SRC_FILENAME [-F SRC_FMT]] [-g SIZE[KMGTPE]] FILENAME BITMAP"
)
OPTIONS = (
    FORMAT,
    IMAGE_OPTS,
    Option(long="add", help="add BITMAP, which records from then on"),
    Option(long="granularity", short="g", value="SIZE", help="the granularity of what --add adds"),
    Option(long="remove", help="remove BITMAP"),
    Option(long="remove-all", help="remove every bitmap", since=release.QEMU_11_1),
    Option(long="clear", help="unmark everything in BITMAP"),
    Option(long="enable", help="let BITMAP record writes"),
    Option(long="disable", help="let BITMAP record no more writes"),
    Option(long="merge", value="SOURCE", help="mark in BITMAP what the bitmap SOURCE has marked"),
    Option(long="source-file", short="b", value="SRC_FILENAME", help="the image that has SOURCE"),
    Option(long="source-format", short="F", value="SRC_FMT", help="the format of that image"),
    OBJECT,
)
_PLAIN_ACTIONS: Final[dict[str, Callable[[Graph, BitmapReference], Action]]] = {
    "remove": BitmapRemoveAction,
    "clear": BitmapClearAction,
    "enable": BitmapEnableAction,
    "disable": BitmapDisableAction,
}
"""Those that need nothing but the bitmap."""
_ACTIONS: Final = ("add", "merge", "remove-all", *_PLAIN_ACTIONS)
_GRANULARITY_MASK: Final = (1 << 32) - 1
"""QEMU keeps the granularity in 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be done to one bitmap."""

    graph: Graph
    node: "Node"
    bitmap: str
    granularity: int | None
    source_node: "Node"
    """The node of the bitmaps that are merged."""


async def run(invocation: Invocation) -> int:
    """Do what is asked, in its order."""
    given = invocation.given
    steps = [(key, value) for key, value in given.sequence if key in _ACTIONS]
    text = given.last("granularity")
    granularity = size_argument(text, "granularity") if text is not None else 0
    filename, bitmap = _operands(invocation, {key for key, _ in steps}, granularity)
    source = given.last("source-file")
    async with opened_images() as images:
        name = ImageName(text=filename, is_options=given.has("image-opts"), format=given.last("format"), writable=True)
        node = source_node = (await images.open(name)).inserted_node()
        if source is not None:
            source_name = ImageName(text=source, format=given.last("source-format"))
            source_node = (await images.open(source_name)).inserted_node()
        work = Work(
            graph=images.graph,
            node=node,
            bitmap=bitmap,
            granularity=granularity & _GRANULARITY_MASK if granularity else None,
            source_node=source_node,
        )
        is_done = await _is_done(invocation, work, steps)
        is_stored = await _is_stored(invocation, node)
        return 0 if is_done and is_stored else 1


def _operands(invocation: Invocation, actions: set[str], granularity: int) -> tuple[str, str]:
    """(filename, name of the bitmap). Raises ToolError for options that do not go together, in QEMU's order."""
    given = invocation.given
    if not actions:
        every = "--remove-all, " if release.current() >= release.QEMU_11_1 else ""
        raise ToolError(f"Need at least one of --add, --remove, {every}--clear, --enable, --disable, or --merge")
    if granularity and "add" not in actions:
        raise ToolError("granularity only supported with --add")
    if given.has("source-format") and not given.has("source-file"):
        raise ToolError("-F only supported with -b")
    if given.has("source-file") and "merge" not in actions:
        raise ToolError("Merge bitmap source file only supported with --merge")
    operands = given.operands
    if actions == {"remove-all"}:
        if len(operands) != 1:
            raise ToolError("Expecting filename")
        operands = [operands[0], ""]
    if len(operands) != 2:
        raise ToolError("Expecting filename and bitmap name")
    invocation.check_image_options("format")
    return operands[0], operands[1]


async def _is_done(invocation: Invocation, work: Work, steps: Sequence[tuple[str, str]]) -> bool:
    """Do the steps up to the first that fails, which is reported; whether none did."""
    for key, value in steps:
        try:
            for action in _actions(work, key, value):
                await do_alone(action)
        except EngineError as error:
            text = f"Operation {key} on bitmap {work.bitmap} failed: {error}"
            invocation.program.error(ToolError(text, hint=error.hint))
            return False
    return True


def _actions(work: Work, key: str, value: str) -> list[Action]:
    """What a step means, as actions of the block layer."""
    node_name = work.node.node_name
    reference = BitmapReference(node=node_name, name=work.bitmap)
    match key:
        case "add":
            wanted = NewBitmap(node=node_name, name=work.bitmap, granularity=work.granularity, persistent=True)
            return [BitmapAddAction(work.graph, wanted)]
        case "merge":
            source = BitmapReference(node=work.source_node.node_name, name=value)
            return [BitmapMergeAction(work.graph, reference, [source])]
        case "remove-all":
            names = [bitmap.name for bitmap in work.node.bitmaps if bitmap.name is not None]
            return [BitmapRemoveAction(work.graph, BitmapReference(node=node_name, name=name)) for name in names]
    return [_PLAIN_ACTIONS[key](work.graph, reference)]


async def _is_stored(invocation: Invocation, node: "Node") -> bool:
    """Store the bitmaps while a failure is still heard; whether that worked. Before 10.0 QEMU does not ask."""
    if release.current() >= release.QEMU_10_0:
        try:
            await node.driver.inactivate()
        except BlockError as error:
            invocation.program.error(f"Error while closing the image: {error}")
            return False
    return True
