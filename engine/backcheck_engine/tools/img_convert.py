"""backcheck-img convert: the content of images, one after the other, in a new or existing image of any format.

What the command line asks for is here; how the content is copied is in convert_copy.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.qemu_io.numbers import parse_integer
from backcheck_engine.tools.command_line import Given, Option
from backcheck_engine.tools.convert_bitmaps import check_source, check_target, copy_bitmaps
from backcheck_engine.tools.convert_copy import PIECE, Copy, CopyPlan, Layout
from backcheck_engine.tools.creation_options import asks_for_help, help_text, texts
from backcheck_engine.tools.image_options import CACHE_MODES, CacheMode
from backcheck_engine.tools.images import ImageName, Images, opened_images
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.progress import Progress
from backcheck_engine.tools.usage import (
    FORCE_SHARE,
    FORMAT,
    IMAGE_OPTS,
    OBJECT,
    PROGRESS,
    QUIET,
    Invocation,
    renamed,
    size_argument,
)

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend

USAGE = (
    "[-f SRC_FMT | --image-opts] [-T SRC_CACHE] [-O TGT_FMT | --target-image-opts] [-o TGT_OPTS] [-c] [-t TGT_CACHE] "
    "[-B BACKING_FILENAME [-F BACKING_FMT]] [-n] [-S SPARSE_SIZE] [-m NUM] [-W] "
    "[--bitmaps [--skip-broken-bitmaps]] [-p] [-q] [-U] SRC_FILENAME... TGT_FILENAME"
)
OPTIONS = (
    QUIET,
    PROGRESS,
    renamed(FORMAT, long="source-format", help="the sources' format, which is guessed otherwise"),
    IMAGE_OPTS,
    Option(long="source-snapshot", short="l", value="SNAPSHOT", help="not implemented"),
    Option(long="source-cache", short="T", value="SRC_CACHE", help="how the sources are cached (writeback)"),
    Option(long="target-format", short="O", value="TGT_FMT", help="the target's format (raw)"),
    Option(long="target-image-opts", help="TGT_FILENAME is a list of options; needs -n"),
    Option(long="target-options", short="o", value="TGT_OPTS", help="options of the format; help lists them"),
    Option(long="compress", short="c", help="store the content compressed"),
    Option(long="target-cache", short="t", value="TGT_CACHE", help="how the target is cached (unsafe)"),
    Option(long="backing", short="B", value="BACKING_FILENAME", help="make the target an overlay of that image"),
    Option(long="backing-format", short="F", value="BACKING_FMT", help="the format of that image"),
    Option(long="no-create", short="n", help="write into an existing target"),
    Option(long="target-is-zero", help="an existing target reads as zeroes all over"),
    Option(long="sparse-size", short="S", value="SPARSE_SIZE", help="shortest run of zeroes not to write (4k)"),
    Option(long="bitmaps", help="copy the source's persistent bitmaps too"),
    Option(long="skip-broken-bitmaps", help="leave out bitmaps that cannot be used", since=release.QEMU_7_2),
    FORCE_SHARE,
    Option(long="rate", short="r", value="RATE", help="copy no more bytes a second than that"),
    Option(long="parallel", short="m", value="NUM", help="pieces in flight (8)"),
    Option(long="copy-range-offloading", short="C", help="accepted; the content is copied by reading and writing"),
    Option(long="salvage", help="zeroes take the place of what cannot be read"),
    Option(long="oob-writes", short="W", help="write pieces as they come"),
    OBJECT,
)
MAX_SPARSE_SIZE: Final = 16 * 1024 * 1024
DEFAULT_SPARSE_SIZE: Final = 4096
MAX_PARALLEL: Final = 16
DEFAULT_PARALLEL: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The image that the content goes to."""

    name: ImageName
    format: str
    backing: str | None
    backing_format: str | None
    options: dict[str, str]
    exists: bool
    """Whether it is written into rather than made."""


async def run(invocation: Invocation) -> int:
    """Open the sources, make and open the target, copy."""
    given = invocation.given
    if asks_for_help(given.all("target-options")):
        filename = given.operands[-1] if given.operands else None
        invocation.program.say(help_text(given.last("target-format") or "raw", filename))
        return 0
    if given.has("skip-broken-bitmaps") and not given.has("bitmaps"):
        raise ToolError("Use of --skip-broken-bitmaps requires --bitmaps")
    plan = _plan(given)
    sources, target = _names(invocation)
    progress = Progress(invocation.program, enabled=given.has("progress") and not invocation.quiet)
    try:
        async with opened_images() as images:
            backends = [await images.open(source) for source in sources]
            _check_target(given, target, len(backends))
            with_bitmaps, skip_broken = given.has("bitmaps"), given.has("skip-broken-bitmaps")
            if with_bitmaps:
                if len(backends) > 1:
                    raise ToolError("Copying bitmaps only possible with single source")
                check_source(backends[0].inserted_node(), skip_broken=skip_broken)
            total = sum(backend.size for backend in backends)
            if not target.exists:
                await _create(images, target, total)
            target_cache = _cache(given, "target-cache", "unsafe", "Invalid cache option")
            destination = await images.open(replace(target.name, cache=target_cache))
            if with_bitmaps:
                check_target(destination.inserted_node())
            _check_size(target, destination, total)
            has_backing = target.backing is not None or "backing_file" in target.options
            layout = Layout(is_new=not target.exists, has_backing=has_backing)
            plan = _fitted(plan, destination)
            await Copy(plan, layout, backends, destination, progress).run()
            if with_bitmaps:
                nodes = backends[0].inserted_node(), destination.inserted_node()
                await copy_bitmaps(invocation.program, *nodes, skip_broken=skip_broken)
    finally:
        progress.end()
    return 0


def _plan(given: Given) -> CopyPlan:
    """How to copy. Raises ToolError for values that are none."""
    sparse_text = given.last("sparse-size")
    sparse = DEFAULT_SPARSE_SIZE
    if sparse_text is not None:
        sparse = size_argument(sparse_text, "buffer size for sparse output")
        if sparse % 512 or sparse > MAX_SPARSE_SIZE:
            raise ToolError(
                "Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to "
                f"{MAX_SPARSE_SIZE}. Select 0 to disable sparse detection (fully allocates output)."
            )
        if given.has("copy-range-offloading"):
            raise ToolError("Cannot enable copy offloading when -S is used")
    rate = given.last("rate")
    return CopyPlan(
        sparse_size=sparse,
        compress=given.has("compress"),
        parallel=_parallel(given.last("parallel")),
        in_order=not given.has("oob-writes"),
        salvage=given.has("salvage"),
        target_is_zero=given.has("target-is-zero"),
        rate=None if rate is None else size_argument(rate, "rate limit"),
    )


def _parallel(text: str | None) -> int:
    if text is None:
        return DEFAULT_PARALLEL
    number = parse_integer(text)
    if number is not None and 1 <= number <= MAX_PARALLEL:
        return number
    if release.current() >= release.QEMU_10_0:
        raise ToolError(f"Invalid number of coroutines specified. Must be between 1 and {MAX_PARALLEL}.")
    raise ToolError(f"Invalid number of coroutines. Allowed number of coroutines is between 1 and {MAX_PARALLEL}")


def _cache(given: Given, key: str, default: str, complaint: str) -> CacheMode:
    mode = given.last(key) or default
    if mode not in CACHE_MODES:
        raise ToolError(f"{complaint}: {mode}")
    return CACHE_MODES[mode]


def _names(invocation: Invocation) -> tuple[list[ImageName], Target]:
    """The sources and the target. Raises ToolError for options that do not go together."""
    given = invocation.given
    invocation.check_image_options("source-format")
    if given.has("target-image-opts") and given.has("target-format"):
        raise ToolError("--target-image-opts and -O are mutually exclusive")
    if given.has("target-image-opts") and not given.has("no-create"):
        raise ToolError("--target-image-opts requires use of -n flag")
    if given.has("target-is-zero") and not given.has("no-create"):
        raise ToolError("--target-is-zero requires use of -n flag")
    if len(given.operands) < 2:
        raise ToolError("Must specify image file name")
    if given.has("source-snapshot"):
        raise ToolError("--source-snapshot is not implemented")
    source_cache = _cache(given, "source-cache", "writeback", "Invalid source cache option")
    source = ImageName(
        text="",
        is_options=given.has("image-opts"),
        format=given.last("source-format"),
        cache=source_cache,
        force_share=given.has("force-share"),
    )
    format_name = given.last("target-format") or "raw"
    target = Target(
        name=ImageName(
            text=given.operands[-1],
            is_options=given.has("target-image-opts"),
            format=None if given.has("target-image-opts") else format_name,
            writable=True,
            discard=given.last("sparse-size") != "0",
        ),
        format=format_name,
        backing=given.last("backing"),
        backing_format=given.last("backing-format"),
        options=texts(given.all("target-options")),
        exists=given.has("no-create"),
    )
    return [replace(source, text=text) for text in given.operands[:-1]], target


def _check_target(given: Given, target: Target, sources: int) -> None:
    """Raise ToolError when the target cannot be what is asked for."""
    if target.backing is not None and sources > 1:
        raise ToolError("Having a backing file for the target makes no sense when concatenating multiple input images")
    if target.exists and given.has("target-options"):
        raise ToolError("-o has no effect when skipping image creation")
    if given.has("compress") and target.options.get("preallocation", "off") != "off":
        raise ToolError("Compression and preallocation not supported at the same time")
    if target.exists:
        return
    if given.has("compress") and not _compresses(target.format):
        raise ToolError("Compression not supported for this file format")
    backing = target.backing or target.options.get("backing_file")
    backing_format = target.backing_format or target.options.get("backing_fmt")
    if backing and not backing_format and release.current() >= release.QEMU_7_2:
        raise ToolError("Use of backing file requires explicit backing format")


def _compresses(format_name: str) -> bool:
    from backcheck_engine.block.driver_table import ONLY_IN_QEMU, driver_class

    driver = driver_class(format_name)
    return format_name not in ONLY_IN_QEMU and (driver is None or driver.supports_compressed_writes)


async def _create(images: Images, target: Target, size: int) -> None:
    """Make the target. Raises ToolError that names it, or BlockError for options that its format does not have."""
    from backcheck_engine.drivers.creation.options import CreateOptions
    from backcheck_engine.drivers.creation.registry import create_options, format_creator

    _, create = format_creator(target.format)
    values = CreateOptions(create_options(target.format, target.name.text))
    values.take(target.options)
    values.set("size", size)
    for name, value in (("backing_file", target.backing), ("backing_fmt", target.backing_format)):
        if value is None:
            continue
        if name not in values:
            raise BlockError(f"Backing file not supported for file format '{target.format}'")
        values.set(name, value)
    try:
        await create(images.graph, target.name.text, values)
    except EngineError as error:
        raise ToolError(
            f"{target.name.text}: error while converting {target.format}: {error}", hint=error.hint
        ) from error


def _fitted(plan: CopyPlan, destination: "BlockBackend") -> CopyPlan:
    """The plan with what the target's format wants. Raises ToolError where that cannot be compressed into."""
    info = destination.inserted_node().driver.info()
    if info is not None and info.needs_compressed_writes:
        plan = replace(plan, compress=True)
    if plan.compress and info is None:
        raise ToolError("could not get block driver info")
    if plan.compress and info is not None and not 0 < info.cluster_size <= PIECE:
        raise ToolError("invalid cluster size")
    return plan


def _check_size(target: Target, destination: "BlockBackend", total: int) -> None:
    if target.exists and destination.size < total:
        raise ToolError("output file is smaller than input file")
