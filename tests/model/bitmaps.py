"""What is done to dirty bitmaps."""

from dataclasses import dataclass

from tests.model.disks import Bitmap
from tests.model.world import World, amount


@dataclass(frozen=True, slots=True, kw_only=True)
class AddBitmap:
    """A new bitmap, of the next name."""

    disk: str
    granularity: int | None
    persistent: bool
    disabled: bool

    @property
    def arguments(self) -> str:
        """As a case writes them."""
        given = [
            f"granularity={amount(self.granularity)}" if self.granularity is not None else "",
            "persistent=True" if self.persistent else "",
            "disabled=True" if self.disabled else "",
        ]
        return "".join(f", {text}" for text in given if text)

    def make(self, world: World) -> Bitmap:
        """The bitmap in the model."""
        disk = world.disks[self.disk]
        default = min(64 << 10, max(4 << 10, disk.cluster)) if disk.format == "qcow2" else 64 << 10
        bitmap = Bitmap(
            name=world.next_name("b"),
            disk=disk,
            granularity=self.granularity or default,
            recording=not self.disabled,
            persistent=self.persistent,
        )
        disk.had_persistent = disk.had_persistent or self.persistent
        disk.bitmaps[bitmap.name] = world.bitmaps[bitmap.name] = bitmap
        return bitmap

    def tell(self, world: World) -> None:
        name = self.make(world).name
        world.say(f'{name} = {self.disk}.add_bitmap("{name}"{self.arguments})')


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeBitmap:
    """clear, enable, disable or remove; refused while it is busy, or inconsistent and not removed."""

    name: str
    verb: str

    def change(self, bitmap: Bitmap) -> None:
        """The change in the model."""
        if self.verb == "clear":
            bitmap.clear()
        elif self.verb == "remove":
            del bitmap.disk.bitmaps[bitmap.name]
        else:
            bitmap.recording = self.verb == "enable"

    def tell(self, world: World) -> None:
        bitmap = world.bitmaps[self.name]
        if bitmap.usable or (self.verb == "remove" and not bitmap.busy):
            world.say(f"{self.name}.{self.verb}()")
            self.change(bitmap)
            if self.verb == "remove":
                del world.bitmaps[self.name]
        else:
            world.say(f'{self.name}.expect_refused("{self.verb}")')


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeBitmaps:
    """One bitmap takes the bits of others of its disk; refused when one of them cannot be used."""

    target: str
    sources: tuple[str, ...]

    def tell(self, world: World) -> None:
        target, sources = world.bitmaps[self.target], [world.bitmaps[name] for name in self.sources]
        names = ", ".join(self.sources)
        if all(bitmap.usable for bitmap in (target, *sources)):
            world.say(f"{self.target}.merge({names})")
            for source in sources:
                target.merge(source)
        else:
            world.say(f'{self.target}.expect_refused("merge", {names})')


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtBitmap:
    """What queries tell of it."""

    name: str

    def tell(self, world: World) -> None:
        world.look(world.bitmaps[self.name])
