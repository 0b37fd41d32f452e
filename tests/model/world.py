"""A program so far: the model of its disks, and the text of the case that does the same."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.model.disks import COPY_CLUSTER, Bitmap, Disk, Job, KiB, MiB, Pace

HELD_TARGET = "held0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One image of a chain: its format, size and create options, and a range that is filled with a byte."""

    format: str
    size: int
    cluster: int | None = None
    extended_l2: bool = False
    fill: tuple[int, int, int] | None = None
    """Pattern, offset, length."""

    @property
    def options(self) -> dict[str, str]:
        """Create options."""
        options = {} if self.cluster is None else {"cluster_size": image_size(self.cluster)}
        return {**options, "extended_l2": "on"} if self.extended_l2 else options

    @property
    def cluster_size(self) -> int:
        """Of what one write allocates at once, the whole that a discard needs."""
        return self.cluster or COPY_CLUSTER

    @property
    def unit(self) -> int:
        """What a write allocates at once."""
        return self.cluster_size // 32 if self.extended_l2 else self.cluster_size


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSetup:
    """A drive: its chain from the base up, and whether discards reach the image."""

    layers: tuple[Layer, ...]
    unmap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a program begins with."""

    disks: tuple[DiskSetup, ...]
    held_target: bool = False
    """Whether there is a target drive whose requests can be held."""


@dataclass(slots=True)
class World:
    """The disks by name, and the lines of the case."""

    setup: Setup
    lines: list[str] = field(default_factory=list)
    disks: dict[str, Disk] = field(default_factory=dict)
    bitmaps: dict[str, Bitmap] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    held_target_size: int | None = None
    """The size of the target drive that can hold requests, until it has been used."""
    held_expected: str | None = None
    """What that drive must hold in the end."""
    steady: bool = True
    """Whether the answer is the same each time; expectations hold anyway."""
    killed: bool = False
    """A machine was killed: clusters may have leaked."""
    sync_modes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for number, disk in enumerate(self.setup.disks):
            self._add_disk(f"disk{number}", disk)
        if self.setup.held_target:
            size = self.disks["disk0"].size
            self.held_target_size = size
            self.say(f'{HELD_TARGET} = t.drive("{HELD_TARGET}", size={amount(size)}, format="qcow2", breakpoints=True)')

    def say(self, *lines: str) -> None:
        """More lines of the case."""
        self.lines.extend(lines)

    def next_name(self, kind: str) -> str:
        """A name that nothing has: `b0`, `b1`, `job0`."""
        number = self.names.get(kind, 0)
        self.names[kind] = number + 1
        return f"{kind}{number}"

    @property
    def jobs(self) -> list[Job]:
        """The jobs that have not ended."""
        return [disk.job for disk in self.disks.values() if disk.job]

    @property
    def held(self) -> bool:
        """Whether a breakpoint holds a request, so that little else is answered."""
        return any(job.pace is Pace.HELD for job in self.jobs)

    def look(self, bitmap: Bitmap) -> None:
        """What queries must tell of a bitmap now."""
        if bitmap.inconsistent:
            self.say(f"{bitmap.name}.expect(inconsistent=True, recording=False, busy=False)")
            return
        low, high = bitmap.count
        count = amount(low) if low == high else f"between({amount(low)}, {amount(high)})"
        more = ", persistent=True" if bitmap.persistent else ""
        self.say(f"{bitmap.name}.expect(count={count}, recording={bitmap.recording}, busy={bitmap.busy}{more})")
        if bitmap.exact and not self.held:
            self.say(f't.expect("bits of {bitmap.name}", {bitmap.name}.sha256(), "{bitmap.sha256}")')

    def _add_disk(self, name: str, setup: DiskSetup) -> None:
        backing = ""
        data = bytearray()
        for depth, layer in enumerate(setup.layers):
            top = depth == len(setup.layers) - 1
            variable = f"{name}_image" if top else f"{name}_base{depth}"
            file = f"{name}.img" if top else f"{name}.base{depth}.img"
            options = f", options={layer.options}".replace("'", '"') if layer.options else ""
            self.say(
                f'{variable} = t.image("{file}", size={amount(layer.size)}, format="{layer.format}"{backing}{options})'
            )
            data = bytearray(bytes(data[: layer.size]).ljust(-(-layer.size // 512) * 512, b"\0"))
            if layer.fill:
                pattern, offset, length = layer.fill
                data[offset : offset + length] = bytes([pattern]) * length
                self.say(f"{variable}.write({byte(pattern)}, offset={amount(offset)}, length={amount(length)})")
            backing = f", backing={variable}"
        *below, top_layer = setup.layers
        fill = top_layer.fill
        disk = Disk(
            name=name,
            format=top_layer.format,
            cluster=top_layer.cluster_size,
            unit=top_layer.unit,
            backing_size=-(-below[-1].size // 512) * 512 if below else None,
            unmap=setup.unmap,
            data=data,
        )
        if fill:
            disk.write(*fill)
        self.disks[name] = disk
        discard = ', discard="unmap"' if setup.unmap else ""
        self.say(f'{name} = t.drive("{name}", image={name}_image{discard})')


def amount(number: int) -> str:
    """A number of bytes as a person writes it."""
    for unit, name in ((MiB, "MiB"), (KiB, "KiB")):
        if number and number % unit == 0:
            return name if number == unit else f"{number // unit} * {name}"
    return str(number)


def image_size(number: int) -> str:
    """A number of bytes as create options have it."""
    return f"{number // MiB}M" if number % MiB == 0 else f"{number // KiB}k" if number % KiB == 0 else str(number)


def byte(pattern: int) -> str:
    """A byte's value."""
    return f"0x{pattern:02X}"


def ranges(clusters: set[int], cluster: int) -> Iterator[tuple[int, int]]:
    """Offset and length of the runs of clusters."""
    run: list[int] = []
    for index in [*sorted(clusters), -1]:
        if run and index != run[-1] + 1:
            yield run[0] * cluster, len(run) * cluster
            run = []
        run.append(index)
