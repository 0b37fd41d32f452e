"""backcheck-img check: whether an image's metadata is consistent, and repairs.

Exit status: 0 all is well, 1 the check could not be done, 2 the image is corrupt, 3 clusters are leaked, 63 the format
has no checks.
"""

import errno
from typing import Final

from backcheck_engine import release
from backcheck_engine.block.image_upkeep import CheckResult, Repair
from backcheck_engine.errors import EngineError
from backcheck_engine.json_value import JsonObject
from backcheck_engine.tools.command_line import Option
from backcheck_engine.tools.image_options import CACHE_MODES
from backcheck_engine.tools.images import ImageName, opened_images
from backcheck_engine.tools.json_text import json_text
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.usage import (
    FORCE_SHARE,
    FORMAT,
    IMAGE_OPTS,
    OBJECT,
    OUTPUT,
    QUIET,
    Invocation,
)

USAGE = "[-f FMT | --image-opts] [-T CACHE_MODE] [-r leaks|all] [-U] [--output human|json] FILENAME"
OPTIONS = (
    QUIET,
    FORMAT,
    IMAGE_OPTS,
    Option(long="cache", short="T", value="CACHE_MODE", help="how the image is cached (writeback)"),
    FORCE_SHARE,
    OUTPUT,
    Option(long="repair", short="r", value="leaks|all", help="repair what the check finds"),
    OBJECT,
)
EXIT_FAILED: Final = 1
EXIT_CORRUPT: Final = 2
EXIT_LEAKS: Final = 3
EXIT_UNSUPPORTED: Final = 63
_REPAIRS: Final = {"leaks": Repair.LEAKS, "all": Repair.LEAKS | Repair.ERRORS}
_OPTIONAL_COUNTS: Final = (
    "image_end_offset",
    "total_clusters",
    "corruptions",
    "leaks",
    "corruptions_fixed",
    "leaks_fixed",
    "allocated_clusters",
    "fragmented_clusters",
    "compressed_clusters",
)


async def run(invocation: Invocation) -> int:
    """Check, repair where asked, check again what was repaired, and print the last result."""
    given = invocation.given
    repair = _repair(invocation)
    as_json = invocation.output_is_json()
    (filename,) = invocation.operands(1, "Expecting one image file name")
    invocation.check_image_options("format")
    cache = given.last("cache") or "writeback"
    if cache not in CACHE_MODES:
        raise ToolError(f"Invalid source cache option: {cache}")
    name = ImageName(
        text=filename,
        is_options=given.has("image-opts"),
        format=given.last("format"),
        cache=CACHE_MODES[cache],
        writable=repair is not Repair.NONE,
        force_share=given.has("force-share"),
        check=True,
        discard=True,
    )
    async with opened_images() as images:
        node = (await images.open(name)).inserted_node()
        try:
            result = await node.driver.check(repair)
            _complain(invocation, result)
            if result.corruptions_fixed or result.leaks_fixed:
                fixed = result
                if not as_json:
                    invocation.say(_repair_text(fixed))
                result = await node.driver.check(Repair.NONE)
                _complain(invocation, result)
                result.corruptions_fixed, result.leaks_fixed = fixed.corruptions_fixed, fixed.leaks_fixed
        except EngineError as error:
            if error.errno == errno.ENOTSUP:
                raise ToolError("This image format does not support checks", status=EXIT_UNSUPPORTED) from error
            raise ToolError(f"Check failed: {error}") from error
        shown_name, shown_format = node.filename, node.format_name
    if as_json:
        invocation.program.say(json_text(_as_json(result, shown_name, shown_format)))
    else:
        invocation.say(_text(result))
    return _status(result)


def _repair(invocation: Invocation) -> Repair:
    wanted = invocation.given.last("repair")
    if wanted is None:
        return Repair.NONE
    if wanted in _REPAIRS:
        return _REPAIRS[wanted]
    now = release.current()
    if now < release.QEMU_10_0:
        raise invocation.misused(f"Unknown option value for -r (expecting 'leaks' or 'all'): {wanted}")
    comma = "," if now > release.QEMU_10_0 else ""
    raise invocation.misused(f"--repair (-r) expects 'leaks' or 'all'{comma} not '{wanted}'")


def _complain(invocation: Invocation, result: CheckResult) -> None:
    if result.messages:
        invocation.program.complain("\n".join(result.messages))
    if result.failure is not None:
        raise result.failure


def _repair_text(result: CheckResult) -> str:
    return (
        "The following inconsistencies were found and repaired:\n\n"
        f"    {result.leaks_fixed} leaked clusters\n"
        f"    {result.corruptions_fixed} corruptions\n\n"
        "Double checking the fixed image now..."
    )


def _as_json(result: CheckResult, filename: str, format_name: str) -> JsonObject:
    """ImageCheck of QAPI; what is 0 is left out, errors of the check excepted."""
    counts = {name: getattr(result, name) for name in _OPTIONAL_COUNTS}
    return {
        "filename": filename,
        "format": format_name,
        "check-errors": result.check_errors,
        **{name.replace("_", "-"): count for name, count in counts.items() if count},
    }


def _text(result: CheckResult) -> str:
    lines: list[str] = []
    if result.corruptions:
        lines.append(
            f"\n{result.corruptions} errors were found on the image.\n"
            "Data may be corrupted, or further writes to the image may corrupt it."
        )
    if result.leaks:
        lines.append(
            f"\n{result.leaks} leaked clusters were found on the image.\n"
            "This means waste of disk space, but no harm to data."
        )
    if result.check_errors:
        lines.append(f"\n{result.check_errors} internal errors have occurred during the check.")
    if not lines:
        lines.append("No errors were found on the image.")
    if result.total_clusters and result.allocated_clusters:
        allocated = result.allocated_clusters
        lines.append(
            f"{allocated}/{result.total_clusters} = {allocated * 100 / result.total_clusters:.2f}% allocated, "
            f"{result.fragmented_clusters * 100 / allocated:.2f}% fragmented, "
            f"{result.compressed_clusters * 100 / allocated:.2f}% compressed clusters"
        )
    if result.image_end_offset:
        lines.append(f"Image end offset: {result.image_end_offset}")
    return "\n".join(lines)


def _status(result: CheckResult) -> int:
    if result.check_errors:
        return EXIT_FAILED
    if result.corruptions:
        return EXIT_CORRUPT
    return EXIT_LEAKS if result.leaks else 0
