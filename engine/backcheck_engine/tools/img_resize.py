"""backcheck-img resize: another virtual size for an image, absolute or by a difference."""

from backcheck_engine.errors import BlockError
from backcheck_engine.qemu_io.numbers import NotANumber, OutOfRange, parse_size
from backcheck_engine.tools.command_line import Option
from backcheck_engine.tools.images import ImageName, opened_images
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.usage import FORMAT, IMAGE_OPTS, OBJECT, QUIET, Invocation, misused

USAGE = "[-f FMT | --image-opts] [--preallocation PREALLOC] [--shrink] [-q] FILENAME [+-]SIZE[bkKMGTPE]"
OPTIONS = (
    QUIET,
    FORMAT,
    IMAGE_OPTS,
    Option(long="shrink", help="allow a smaller size than the image has"),
    Option(long="preallocation", value="PREALLOC", help="how what is added is allocated"),
    OBJECT,
)
PREALLOCATION_MODES = ("off", "metadata", "falloc", "full")
_SHRINK_WARNING = (
    "Shrinking an image will delete all data beyond the shrunken image's end. "
    "Before performing such an operation, make sure there is no important data there."
)
_SIZE_LIMIT = 2**64 - 1


async def run(invocation: Invocation) -> int:
    """Resize the image."""
    given = invocation.given
    filename, size_text = _operands(invocation)
    preallocation = given.last("preallocation") or "off"
    if preallocation not in PREALLOCATION_MODES:
        raise ToolError(f"Invalid preallocation mode '{preallocation}'")
    invocation.check_image_options("format")
    sign = size_text[:1] if size_text[:1] in ("+", "-") else ""
    number = _size(size_text.removeprefix(sign))
    name = ImageName(
        text=filename,
        is_options=given.has("image-opts"),
        format=given.last("format"),
        writable=True,
        resizable=True,
    )
    async with opened_images() as images:
        backend = await images.open(name)
        current = backend.size
        size = {"+": current + number, "-": current - number}.get(sign, number)
        if size <= 0:
            raise ToolError("New image size must be positive")
        if size <= current and preallocation != "off":
            raise ToolError("Preallocation can only be used for growing images")
        if size < current and not given.has("shrink"):
            invocation.program.error("Use the --shrink option to perform a shrink operation.")
            invocation.program.warning(_SHRINK_WARNING)
            return 1
        try:
            await backend.truncate(size, exact=True, preallocation=preallocation)
        except BlockError as error:
            raise ToolError(str(error), hint=error.hint) from error
    invocation.say("Image resized.")
    return 0


def _operands(invocation: Invocation) -> list[str]:
    from backcheck_engine import release

    operands = invocation.given.operands
    if len(operands) == 2:
        return operands
    if release.current() >= release.QEMU_10_0:
        raise invocation.misused("Expecting image file name and size")
    if len(operands) < 2:
        raise misused(invocation.program, "Not enough arguments")
    raise misused(invocation.program, "Expecting image file name and size")


def _size(text: str) -> int:
    try:
        return parse_size(text, _SIZE_LIMIT)
    except OutOfRange:
        raise ToolError(f"Value '{text}' is out of range for parameter 'size'") from None
    except NotANumber:
        raise ToolError(
            "Parameter 'size' expects a non-negative number below 2^64",
            hint=(
                "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
                "and exabytes, respectively."
            ),
        ) from None
