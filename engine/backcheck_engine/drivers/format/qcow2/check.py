"""Checking an image: refcounts in the file against references found, the COPIED flags, and putting both right."""

from __future__ import annotations

import copy
import errno
from array import array
from typing import TYPE_CHECKING

from backcheck_engine.block.image_upkeep import CheckResult, Repair
from backcheck_engine.drivers.format.qcow2.check_references import References
from backcheck_engine.drivers.format.qcow2.header import Incompatible
from backcheck_engine.drivers.format.qcow2.overlap import Section
from backcheck_engine.drivers.format.qcow2.refcount import RefcountBlock
from backcheck_engine.drivers.format.qcow2.tables import COMPRESSED, COPIED, OFFSET_MASK, pack_words, zero_words
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image


async def check_image(image: Image, repair: Repair) -> CheckResult:
    """What is wrong with an image's metadata, and what of it was repaired. Call it under the metadata lock."""
    result = CheckResult(total_clusters=image.geometry.clusters(image.size))
    check = _Check(image, result, repair)
    await check.run()
    if repair and not result.check_errors and not result.corruptions:
        await image.mark_clean()
        await image.set_incompatible(Incompatible.CORRUPT, False)
    return result


class _Check:
    def __init__(self, image: Image, result: CheckResult, repair: Repair) -> None:
        self._image = image
        self._result = result
        self._repair = repair
        self._highest = 0
        self._suspects: dict[int, list[int]] = {}
        """The entries of a table that had a wrong flag; a damaged L1 table may name the table many times."""

    async def run(self) -> None:
        """The whole check, in QEMU's order."""
        result = self._result
        references = References(self._image, result, self._repair)
        await references.count()
        before = copy.deepcopy(result)
        rebuild = references.needs_rebuild | await self._compare(references.counts, Repair.NONE)
        if rebuild and Repair.ERRORS in self._repair:
            await self._rebuild(references)
        elif self._repair:
            if rebuild:
                result.messages.append("ERROR need to rebuild refcount structures")
                raise CheckFailed(result)
            if result.leaks or result.corruptions:
                result.leaks, result.corruptions = before.leaks, before.corruptions
                result.check_errors = before.check_errors
                await self._compare(references.counts, self._repair)
        await self._check_copied_flags()
        if self._repair:
            await self._image.flush_caches()
        result.image_end_offset = (self._highest + 1) * self._image.geometry.cluster_size

    # Refcounts.

    async def _compare(self, counts: array[int], repair: Repair) -> bool:
        """Compare refcounts with references; whether only a rebuild can put them right."""
        refcounts, entries = self._image.refcounts, self._image.geometry.refcount_block_entries
        rebuild = False
        for start in range(0, len(counts), entries):
            wanted = counts[start : start + entries]
            try:
                found = await refcounts.block_values(start // entries)
            except BlockError as error:
                self._unknown(start, len(wanted), error)
                continue
            found = found[: len(wanted)] if found is not None else None
            self._note_highest(start, wanted, found)
            if found == wanted if found is not None else not any(wanted):
                continue
            for at, reference in enumerate(wanted):
                refcount = found[at] if found is not None else 0
                if refcount != reference:
                    rebuild |= refcount == 0
                    await self._report(start + at, refcount, reference, repair)
        return rebuild

    def _unknown(self, start: int, count: int, error: BlockError) -> None:
        """The refcounts of these clusters cannot be had."""
        self._result.check_errors += count
        self._result.messages += [
            f"Can't get refcount for cluster {cluster}: {error.message}" for cluster in range(start, start + count)
        ]

    def _note_highest(self, start: int, wanted: array[int], found: array[int] | None) -> None:
        for at in range(len(wanted) - 1, -1, -1):
            if wanted[at] or (found is not None and found[at]):
                self._highest = max(self._highest, start + at)
                return

    async def _report(self, cluster: int, refcount: int, reference: int, repair: Repair) -> None:
        result = self._result
        leaked = refcount > reference
        repaired = (Repair.LEAKS if leaked else Repair.ERRORS) in repair
        word = "Repairing" if repaired else "Leaked" if leaked else "ERROR"
        result.messages.append(f"{word} cluster {cluster} refcount={refcount} reference={reference}")
        if repaired:
            try:
                await self._image.refcounts.set_count(cluster, reference)
            except BlockError:
                repaired = False
        if leaked:
            result.leaks_fixed += repaired
            result.leaks += not repaired
        else:
            result.corruptions_fixed += repaired
            result.corruptions += not repaired

    async def _rebuild(self, references: References) -> None:
        """Write refcounts anew from the references, then free what the old ones took."""
        result = self._result
        old = copy.deepcopy(result)
        if self._image.is_lost:
            raise CheckFailed(result)
        result.messages.append("Rebuilding refcount structure")
        await rebuild_refcounts(self._image, references.counts)
        result.corruptions = result.leaks = 0
        recount = References(self._image, result, Repair.NONE)
        await recount.count()
        if Repair.LEAKS in self._repair:
            fixed = result.leaks_fixed
            if await self._compare(recount.counts, Repair.LEAKS):
                result.messages.append("ERROR rebuilt refcount structure is still broken")
            result.leaks_fixed = fixed
        else:
            await self._compare(recount.counts, Repair.NONE)
        references.counts = recount.counts
        result.corruptions_fixed += max(old.corruptions - result.corruptions, 0)
        result.leaks_fixed += max(old.leaks - result.leaks, 0)

    # COPIED flags.

    async def _check_copied_flags(self) -> None:
        """An entry says COPIED exactly when its cluster has one reference."""
        image, bits = self._image, self._image.geometry.cluster_bits
        for index, entry in enumerate(image.l1.entries):
            offset = entry & OFFSET_MASK
            if not offset or offset & image.geometry.cluster_mask:
                continue
            refcount = await self._refcount(offset >> bits)
            if refcount is None:
                continue
            if (refcount == 1) != bool(entry & COPIED) and self._flag_finding(
                f"OFLAG_COPIED L2 cluster: l1_index={index} l1_entry={entry:x} refcount={refcount}"
            ):
                image.l1.set(index, offset | (COPIED if refcount == 1 else 0))
            await self._check_table_flags(offset)

    async def _refcount(self, cluster: int) -> int | None:
        """A cluster's refcount, or None where it cannot be had."""
        cached = self._image.refcounts.cached_count(cluster)
        if cached is not None:
            return cached
        try:
            return await self._image.refcounts.get(cluster)
        except BlockError:
            return None

    async def _check_table_flags(self, table_offset: int) -> None:
        image = self._image
        if image.has_data_file:
            return
        bits, words, mask = image.geometry.cluster_bits, image.geometry.l2_words, image.geometry.cluster_mask
        table = await image.l2.load(table_offset)
        wrong = []
        for index in self._suspects.get(table_offset, range(0, len(table), words)):
            entry = table[index]
            offset = entry & OFFSET_MASK
            if not offset or entry & COMPRESSED or offset & mask:
                continue
            refcount = await self._refcount(offset >> bits)
            if refcount is None:
                continue
            if (refcount == 1) == bool(entry & COPIED):
                continue
            wrong.append(index)
            if self._flag_finding(f"OFLAG_COPIED data cluster: l2_entry={entry:x} refcount={refcount}"):
                table[index] = entry & ~COPIED | (COPIED if refcount == 1 else 0)
                image.l2.touch(table_offset, 8 * index, 8 * (index + words))
        self._suspects[table_offset] = wrong

    def _flag_finding(self, text: str) -> bool:
        """Report a wrong flag; whether it is to be put right."""
        result = self._result
        repaired = Repair.ERRORS in self._repair or (
            Repair.LEAKS in self._repair and not (result.check_errors or result.corruptions or result.leaks)
        )
        self._result.messages.append(f"{'Repairing' if repaired else 'ERROR'} {text}")
        self._result.corruptions_fixed += repaired
        self._result.corruptions += not repaired
        return repaired


class CheckFailed(BlockError):
    """The check could not be completed; `result` has what was found until then."""

    def __init__(self, result: CheckResult) -> None:
        result.check_errors += 1
        super().__init__("Input/output error", errno.EIO)
        self.result = result


async def rebuild_refcounts(image: Image, counts: array[int]) -> None:
    """Put new refcount blocks and a new table behind everything that is referred to, and make the header use them."""
    geometry = image.geometry
    entries, size = geometry.refcount_block_entries, geometry.cluster_size
    first = len(counts)
    while first and not counts[first - 1]:
        first -= 1
    blocks, clusters = 0, 1
    while blocks * entries < first + blocks + clusters:
        blocks = -(-(first + blocks + clusters) // entries)
        clusters = geometry.clusters(8 * blocks)
    wanted = counts[:first]
    wanted.extend(array("I", (1,)) * (blocks + clusters))
    table = zero_words(clusters * geometry.table_entries)
    image.refcounts.forget_all()
    for number in range(blocks):
        block = RefcountBlock.empty(geometry)
        for at, count in enumerate(wanted[number * entries : (number + 1) * entries]):
            if count:
                block.set(at, count)
        offset = (first + number) * size
        table[number] = offset
        await image.file.pwrite(offset, block.pack(0, size))
    table_offset = (first + blocks) * size
    image.refcounts.table = table
    image.metadata.forget()
    await image.write_metadata(table_offset, pack_words(table), Section.REFCOUNT_TABLE)
    await image.flush_file()
    await image.set_refcount_table(table_offset, clusters)
