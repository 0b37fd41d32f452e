"""The parts of a run: which measures there are, how their runs alternate, and what each has to reach."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import bitmaps, compressed, measure, nbd, nbd_export, speed
from bench.contestant import Contestant
from bench.images import GiB, MiB, TiB, make_few_words, make_mixed, make_sparse
from bench.table import Bound, Row, Target

GREETINGS_PER_ROUND = 3
ROUNDS_OF_CASES = 2
ROUNDS_OF_SPEEDS = 2
LIMITED_SPEED = 64 * MiB

NOT_SLOWER = Target(bound=Bound.RATIO, most=1.0)
GUEST_WRITE = Target(bound=Bound.RATIO, most=1.25)
CASES = Target(bound=Bound.RATIO, most=2.0)
GREETING = Target(bound=Bound.ENGINE, most=150)
MEMORY = Target(bound=Bound.ENGINE, most=150)
BITMAP = Target(bound=Bound.RATIO, most=1.5)
BITMAP_MEMORY = Target(bound=Bound.ENGINE, most=4)
AS_FAST = Target(bound=Bound.BOTH_WAYS, most=1.1)
WOKEN = Target(bound=Bound.ENGINE, most=100)
AS_MUCH_AS_FOUR_FIFTHS = Target(bound=Bound.RATIO, most=1 / 0.8)
HALF_AS_MUCH = Target(bound=Bound.RATIO, most=2.0)
FOUR_TIMES_AS_FAST = Target(bound=Bound.RATIO, most=1 / 4)
THREE_TIMES_AS_FAST = Target(bound=Bound.RATIO, most=1 / 3)
HARDLY_LARGER = Target(bound=Bound.RATIO, most=1.05)
NOT_LARGER = Target(bound=Bound.RATIO, most=1.0)
COMPRESSING_MEMORY = Target(bound=Bound.ENGINE, most=200)
STORED_BITMAP = Target(bound=Bound.RATIO, most=2.0)

# A function of ``measure``: the contestant and what else it needs -> for each row, the samples of one run.
Measure = Callable[..., Sequence[list[float]]]


class Bench:
    """One run: who is measured, where, and how often."""

    def __init__(self, *, engine: Contestant, qemu: Contestant, folder: Path, rounds: int) -> None:
        self.engine = engine
        self.qemu = qemu
        self.folder = folder
        self.rounds = rounds

    def alternate(self, rounds: int, rows: Sequence[Row], samples_of: Measure, *arguments: object) -> Sequence[Row]:
        """Let both take turns, each first in every other round; samples for which there is no row are dropped."""
        for number in range(rounds):
            order = (self.engine, self.qemu) if number % 2 else (self.qemu, self.engine)
            for contestant in order:
                for row, samples in zip(rows, samples_of(contestant, *arguments), strict=False):
                    (row.engine if contestant is self.engine else row.qemu).extend(samples)
        return rows

    def mixed(self) -> Iterator[Row]:
        """Full backups of 1 GiB, a quarter zero, a quarter random, half text."""
        raw, qcow2 = make_mixed(self.folder, GiB)
        for source, target_format in ((raw, "raw"), (raw, "qcow2"), (qcow2, "qcow2")):
            row = Row(title=f"1 GiB mixed, {source.format} to {target_format}", unit="s", target=NOT_SLOWER)
            yield from self.alternate(self.rounds, [row], measure.backup, source, target_format)

    def nbd(self) -> Iterator[Row]:
        """Full backups of 1 GiB to a server, over a unix socket: at least 0.8 times QEMU's throughput."""
        raw, _ = make_mixed(self.folder, GiB)
        for title, samples_of in (("a file", nbd.backup_to_file), ("nothing", nbd.backup_to_nothing)):
            row = Row(title=f"1 GiB mixed to qemu-nbd with {title}", unit="s", target=AS_MUCH_AS_FOUR_FIFTHS)
            yield from self.alternate(self.rounds, [row], samples_of, raw)

    def nbd_export(self) -> Iterator[Row]:
        """nbdcopy of an export of 1 GiB: at least half of QEMU's throughput; a guest's writes while it is pulled."""
        raw, qcow2 = make_mixed(self.folder, GiB)
        for source in (raw, qcow2):
            row = Row(title=f"nbdcopy of 1 GiB mixed {source.format}", unit="s", target=HALF_AS_MUCH)
            yield from self.alternate(self.rounds, [row], nbd_export.copied_to_nothing, source)
        row = Row(title="nbdcopy of 1 GiB mixed raw into a file", unit="s", target=HALF_AS_MUCH)
        yield from self.alternate(self.rounds, [row], nbd_export.copied_to_file, raw)
        row = Row(title="guest write during a pull backup", unit="ms", target=GUEST_WRITE)
        yield from self.alternate(self.rounds, [row], nbd_export.guest_writes, qcow2)

    def compressed(self) -> Iterator[Row]:
        """Compressed backups of 1 GiB and what guests wait meanwhile; conversions to a compressed image and back.

        Few words pack less far than QEMU's: that size is shown, and bounded by nothing.
        """
        raw, qcow2 = make_mixed(self.folder, GiB)
        for kind, faster, smaller in (
            (compressed.ZLIB, FOUR_TIMES_AS_FAST, HARDLY_LARGER),
            (compressed.ZSTD, THREE_TIMES_AS_FAST, NOT_LARGER),
        ):
            rows = [
                Row(title=f"1 GiB mixed, compressed by {kind}", unit="s", target=faster),
                Row(title="  size of the target", unit="MiB", target=smaller),
                Row(title="  peak memory", unit="MiB", target=COMPRESSING_MEMORY),
            ]
            yield from self.alternate(self.rounds, rows, compressed.backup, raw, kind)
        rows = [
            Row(title="convert -c of 1 GiB mixed", unit="s", target=FOUR_TIMES_AS_FAST),
            Row(title="  size of the target", unit="MiB", target=HARDLY_LARGER),
        ]
        yield from self.alternate(self.rounds, rows, compressed.convert, raw)
        row = Row(title="convert of that to raw", unit="s", target=NOT_SLOWER)
        packed = compressed.make_compressed(raw)
        yield from self.alternate(self.rounds, [row], compressed.read_back, packed)
        packed.path.unlink()
        row = Row(title="guest write while it is compressed", unit="ms", target=GUEST_WRITE)
        yield from self.alternate(self.rounds, [row], measure.guest_writes, qcow2, measure.UNLIMITED, True)
        few_words = make_few_words(self.folder, GiB)
        for kind, faster in ((compressed.ZLIB, FOUR_TIMES_AS_FAST), (compressed.ZSTD, THREE_TIMES_AS_FAST)):
            rows = [
                Row(title=f"1 GiB of few words, compressed by {kind}", unit="s", target=faster),
                Row(title="  size of the target", unit="MiB", target=None),
            ]
            yield from self.alternate(self.rounds, rows, compressed.backup, few_words, kind)

    def sparse(self) -> Iterator[Row]:
        """A full backup of an image that is nearly all holes."""
        image = make_sparse(self.folder, TiB)
        rows = [
            Row(title="1 TiB qcow2 with 128 MiB of data", unit="s", target=NOT_SLOWER),
            Row(title="  peak memory", unit="MiB", target=MEMORY),
        ]
        yield from self.alternate(self.rounds, rows, measure.backup, image, image.format)

    def incremental(self) -> Iterator[Row]:
        """An incremental backup of 1% of a disk of 1 GiB."""
        _, image = make_mixed(self.folder, GiB)
        row = Row(title="incremental backup of 1% of 1 GiB", unit="s", target=NOT_SLOWER)
        yield from self.alternate(self.rounds, [row], bitmaps.incremental, image)

    def bitmaps(self) -> Iterator[Row]:
        """Dirty bitmaps of 1 TiB at 64 KiB, in memory and in an image."""
        rows = [
            Row(title="bitmap of 1 TiB: added", unit="ms", target=BITMAP),
            Row(title="  its memory", unit="MiB", target=BITMAP_MEMORY),
            Row(title="  merged", unit="ms", target=BITMAP),
            Row(title="  iterated (merged into 1 MiB)", unit="ms", target=BITMAP),
        ]
        yield from self.alternate(self.rounds, rows, bitmaps.terabyte)
        rows = [
            Row(title="  loaded with its image", unit="ms", target=STORED_BITMAP),
            Row(title="  stored", unit="ms", target=STORED_BITMAP),
        ]
        yield from self.alternate(self.rounds, rows, bitmaps.persistent, bitmaps.make_marked(self.folder))

    def guest_writes(self) -> Iterator[Row]:
        """How long a guest waits for a write while it is backed up."""
        _, image = make_mixed(self.folder, GiB)
        for title, limit in (("unlimited", measure.UNLIMITED), ("at 64 MiB/s", LIMITED_SPEED)):
            row = Row(title=f"guest write during a backup {title}", unit="ms", target=GUEST_WRITE)
            yield from self.alternate(self.rounds, [row], measure.guest_writes, image, limit)

    def greeting(self) -> Iterator[Row]:
        """How soon a cold program greets."""
        row = Row(title="greeting after the start", unit="ms", target=GREETING)
        yield from self.alternate(self.rounds * GREETINGS_PER_ROUND, [row], measure.greeting)

    def speed(self) -> Iterator[Row]:
        """What a limited job copies in ten seconds, and how soon it goes on when the limit is lifted."""
        rows = [
            Row(title=f"copied in {speed.SECONDS} s at {limit // MiB} MiB/s", unit="MiB", target=AS_FAST)
            for limit in speed.SPEEDS
        ]
        yield from self.alternate(ROUNDS_OF_SPEEDS, rows, speed.copied)
        row = Row(title="limit lifted, and done", unit="ms", target=WOKEN)
        yield from self.alternate(self.rounds, [row], speed.woken)

    def cases(self) -> Iterator[Row]:
        """All numbered cases."""
        row = Row(title="all cases, -n 2", unit="s", target=CASES)
        yield from self.alternate(ROUNDS_OF_CASES, [row], measure.all_cases, self.folder / "results")


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "mixed": Bench.mixed,
    "nbd": Bench.nbd,
    "nbd-export": Bench.nbd_export,
    "compressed": Bench.compressed,
    "sparse": Bench.sparse,
    "incremental": Bench.incremental,
    "bitmaps": Bench.bitmaps,
    "guest-writes": Bench.guest_writes,
    "greeting": Bench.greeting,
    "speed": Bench.speed,
    "cases": Bench.cases,
}
