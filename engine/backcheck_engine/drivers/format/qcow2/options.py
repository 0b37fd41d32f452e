"""How an image is to be used while it is open: the runtime options of the qcow2 driver, parsed and bounded."""

from __future__ import annotations

import enum
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.drivers.format.qcow2.header import Compatible, Header
from backcheck_engine.drivers.format.qcow2.overlap import SECTION_NAMES, TEMPLATES, Section
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.options import Options

_MIB = 1 << 20
_DEFAULT_L2_CACHE = 32 * _MIB
_MIN_L2_TABLES = 2
_MIN_REFCOUNT_BLOCKS = 4
_MAX_TABLES = 0x7FFFFFFF

_OVERLAP_KEYS: dict[str, Section] = {
    "main-header": Section.MAIN_HEADER,
    "active-l1": Section.ACTIVE_L1,
    "active-l2": Section.ACTIVE_L2,
    "refcount-table": Section.REFCOUNT_TABLE,
    "refcount-block": Section.REFCOUNT_BLOCK,
    "snapshot-table": Section.SNAPSHOT_TABLE,
    "inactive-l1": Section.INACTIVE_L1,
    "inactive-l2": Section.INACTIVE_L2,
    "bitmap-directory": Section.BITMAP_DIRECTORY,
}
assert set(_OVERLAP_KEYS.values()) == set(SECTION_NAMES)


class DiscardKind(enum.Enum):
    """Why a cluster is freed, which decides whether the file hears of it."""

    NEVER = enum.auto()
    ALWAYS = enum.auto()
    REQUEST = enum.auto()
    SNAPSHOT = enum.auto()
    OTHER = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """The options as they are in force."""

    lazy_refcounts: bool = False
    discards: frozenset[DiscardKind] = frozenset({DiscardKind.ALWAYS, DiscardKind.SNAPSHOT})
    discard_no_unref: bool = False
    overlap_check: Section = TEMPLATES["cached"]
    l2_cache_size: int = _DEFAULT_L2_CACHE
    refcount_cache_size: int = 256 * 1024

    def passes_discard(self, kind: DiscardKind) -> bool:
        """Whether a cluster freed for this reason is discarded in the file."""
        return kind in self.discards


MUTABLE_OPTIONS = (
    "cache-clean-interval",
    "cache-size",
    "discard-no-unref",
    "l2-cache-",
    "lazy-refcounts",
    "overlap-check",
    "pass-discard-",
    "refcount-cache-size",
)
"""How the options begin that `take_options` takes: all of them may be others when a node is reopened."""


def take_options(options: Options, header: Header, *, discards: bool) -> RuntimeOptions:
    """Take the driver's options; `discards` is whether the node passes discards on. Raises BlockError."""
    lazy = options.take_bool("lazy-refcounts", Compatible.LAZY_REFCOUNTS in header.compatible)
    l2_size, refcount_size = _cache_sizes(options, header)
    if options.take_int("cache-clean-interval", 0) >= 2**32:
        raise BlockError("Cache clean interval too big", errno.EINVAL)
    overlap = _overlap_check(options)
    if header.version < 3 and lazy:
        raise BlockError(
            "Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level", errno.EINVAL
        )
    kinds = {DiscardKind.ALWAYS}
    kinds |= {DiscardKind.REQUEST} if options.take_bool("pass-discard-request", discards) else set()
    kinds |= {DiscardKind.SNAPSHOT} if options.take_bool("pass-discard-snapshot", True) else set()
    kinds |= {DiscardKind.OTHER} if options.take_bool("pass-discard-other", False) else set()
    keep = options.take_bool("discard-no-unref", False)
    if keep and header.version < 3:
        raise BlockError("discard-no-unref is only supported since qcow2 version 3", errno.EINVAL)
    return RuntimeOptions(
        lazy_refcounts=lazy,
        discards=frozenset(kinds),
        discard_no_unref=keep,
        overlap_check=overlap,
        l2_cache_size=l2_size,
        refcount_cache_size=refcount_size,
    )


def _cache_sizes(options: Options, header: Header) -> tuple[int, int]:
    """(size of the L2 cache, size of the refcount cache) in bytes."""
    given = {name for name in ("cache-size", "l2-cache-size", "refcount-cache-size") if name in options}
    total = options.take_size("cache-size", 0)
    l2_size = options.take_size("l2-cache-size", _DEFAULT_L2_CACHE)
    refcount_size = options.take_size("refcount-cache-size", 0)
    cluster_size = 1 << header.cluster_bits
    entry_size = options.take_size("l2-cache-entry-size", min(cluster_size, 65536))
    least = _MIN_REFCOUNT_BLOCKS * cluster_size
    if len(given) == 3:
        raise BlockError(
            "cache-size, l2-cache-size and refcount-cache-size may not be set at the same time", errno.EINVAL
        )
    if "cache-size" in given:
        if "l2-cache-size" in given and l2_size > total:
            raise BlockError("l2-cache-size may not exceed cache-size", errno.EINVAL)
        if "refcount-cache-size" in given and refcount_size > total:
            raise BlockError("refcount-cache-size may not exceed cache-size", errno.EINVAL)
        if "l2-cache-size" in given:
            refcount_size = total - l2_size
        elif "refcount-cache-size" in given:
            l2_size = total - refcount_size
        else:
            l2_size = min(total, _DEFAULT_L2_CACHE)
            refcount_size = total - l2_size
    if entry_size < 512 or entry_size > cluster_size or entry_size & (entry_size - 1):
        raise BlockError(
            f"L2 cache entry size must be a power of two between 512 and the cluster size ({cluster_size})",
            errno.EINVAL,
        )
    if l2_size // entry_size > _MAX_TABLES:
        raise BlockError("L2 cache size too big", errno.EINVAL)
    if refcount_size // cluster_size > _MAX_TABLES:
        raise BlockError("Refcount cache size too big", errno.EINVAL)
    return max(l2_size, _MIN_L2_TABLES * entry_size), max(refcount_size, least)


def _overlap_check(options: Options) -> Section:
    """The sections that writes are checked against: a template, with single sections switched on or off."""
    given = [options.take_str("overlap-check"), options.take_str("overlap-check.template")]
    if given[0] and given[1] and given[0] != given[1]:
        raise BlockError(
            f"Conflicting values for qcow2 options 'overlap-check' ('{given[0]}') and 'overlap-check.template' "
            f"('{given[1]}')",
            errno.EINVAL,
        )
    name = given[0] or given[1] or "cached"
    if name not in TEMPLATES:
        raise BlockError(
            f"Unsupported value '{name}' for qcow2 option 'overlap-check'. Allowed are any of the following: "
            "none, constant, cached, all",
            errno.EINVAL,
        )
    sections = TEMPLATES[name]
    for key, section in _OVERLAP_KEYS.items():
        wanted = options.take_bool(f"overlap-check.{key}", section in sections)
        sections = sections | section if wanted else sections & ~section
    return sections
