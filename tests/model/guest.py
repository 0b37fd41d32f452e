"""What the guest does: requests to a disk, and a disk that gets another size."""

from dataclasses import dataclass

from tests.model.world import World, amount, byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write of one byte's value; also in the background, while a breakpoint holds a request."""

    disk: str
    pattern: int
    offset: int
    length: int

    def tell(self, world: World) -> None:
        disk = world.disks[self.disk]
        where = f"{byte(self.pattern)}, offset={amount(self.offset)}, length={amount(self.length)}"
        if world.held:
            job = next(iter(world.jobs))
            world.say(f"request{len(job.in_flight)} = {self.disk}.aio_write({where})")
            job.in_flight.append((self.offset, self.length))
        else:
            world.say(f"{self.disk}.write({where})")
        disk.write(self.pattern, self.offset, self.length)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteZeroes:
    """Zeroes without data."""

    disk: str
    offset: int
    length: int
    unmap: bool

    def tell(self, world: World) -> None:
        unmap = ", unmap=True" if self.unmap else ""
        world.say(f"{self.disk}.write_zeroes(offset={amount(self.offset)}, length={amount(self.length)}{unmap})")
        world.disks[self.disk].write(0, self.offset, self.length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """Whole clusters of it read as zeroes afterwards, where the drive passes discards on."""

    disk: str
    offset: int
    length: int

    def tell(self, world: World) -> None:
        world.say(f"{self.disk}.discard(offset={amount(self.offset)}, length={amount(self.length)})")
        for offset, length in world.disks[self.disk].discard(self.offset, self.length):
            world.say(f"{self.disk}.image.note_write(0, {amount(offset)}, {amount(length)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The bytes from an offset on that are alike, not more than `length`."""

    disk: str
    offset: int
    length: int

    def tell(self, world: World) -> None:
        data = world.disks[self.disk].data[self.offset : self.offset + self.length]
        alike = len(data) - len(data.lstrip(data[:1]))
        world.say(f"{self.disk}.read({byte(data[0])}, offset={amount(self.offset)}, length={amount(alike)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """block_resize; it is refused while a job has the disk."""

    disk: str
    size: int

    def tell(self, world: World) -> None:
        disk = world.disks[self.disk]
        if disk.job:
            world.say(f't.expect_error("block_resize", device="{self.disk}", size={amount(self.size)})')
        else:
            world.say(f"{self.disk}.resize({amount(self.size)})")
            disk.resize(self.size)
