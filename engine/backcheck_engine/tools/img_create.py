"""backcheck-img create: a new image."""

from backcheck_engine.block.graph import Graph
from backcheck_engine.errors import EngineError
from backcheck_engine.tools.command_line import Option
from backcheck_engine.tools.creation_options import asks_for_help, help_text, texts
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.usage import FORMAT, OBJECT, QUIET, Invocation, renamed, size_argument

USAGE = "[-f FMT] [-o FMT_OPTS] [-b BACKING_FILENAME [-F BACKING_FMT]] [-u] [-q] FILENAME [SIZE]"
OPTIONS = (
    QUIET,
    renamed(FORMAT, help="the new image's format (raw)"),
    Option(long="options", short="o", value="FMT_OPTS", help="options of the format; help lists them"),
    Option(long="backing", short="b", value="BACKING_FILENAME", help="make an overlay of that image"),
    Option(long="backing-format", short="F", value="BACKING_FMT", help="the format of that image"),
    Option(long="backing-unsafe", short="u", help="do not look at that image"),
    OBJECT,
)


async def run(invocation: Invocation) -> int:
    """Make the image. Errors name it."""
    given = invocation.given
    operands = given.operands
    format_name = given.last("format") or "raw"
    if asks_for_help(given.all("options")):
        invocation.program.say(help_text(format_name, operands[0] if operands else None))
        return 0
    if not operands:
        raise invocation.misused("Expecting image file name")
    if len(operands) > 2:
        raise invocation.misused(f"Unexpected argument: {operands[2]}")
    size = size_argument(operands[1], "image size") if len(operands) > 1 else None
    try:
        await _create(invocation, operands[0], format_name, size)
    except EngineError as error:
        raise ToolError(f"{operands[0]}: {error}", hint=error.hint) from error
    return 0


async def _create(invocation: Invocation, filename: str, format_name: str, size: int | None) -> None:
    from backcheck_engine.drivers.creation import create_image

    given = invocation.given
    await create_image(
        Graph(),
        filename,
        format_name,
        size=size,
        backing_file=given.last("backing"),
        backing_format=given.last("backing-format"),
        options=texts(given.all("options")),
        quiet=invocation.quiet,
        out=lambda line: invocation.program.say(line),
        warn=invocation.program.warning,
        open_backing=not given.has("backing-unsafe"),
    )
