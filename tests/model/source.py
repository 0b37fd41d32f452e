"""A program as a numbered case: the text of the file, which runs as any other case does."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.model.backups import Cancel, Proceed
from tests.model.layout import STEP, laid_out
from tests.model.world import HELD_TARGET, Setup, World

RULES = {
    "full": "SYNC-02",
    "top": "SYNC-06",
    "none": "SYNC-09",
    "incremental": "SYNC-11",
    "bitmap": "BMP-04",
}
NAMES = ("Action", "Case", "FailAlways", "FailOnce", "KiB", "MiB", "between", "case")


class Operation(Protocol):
    """One step of a program: it tells its lines, and moves the model."""

    def tell(self, world: World) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What it begins with, and what is done."""

    setup: Setup
    operations: tuple[Operation, ...]


def told(program: Program) -> World:
    """The whole story."""
    world = World(program.setup)
    for operation in program.operations:
        operation.tell(world)
    finish(world)
    return world


def case_source(world: World, title: str = "A program of the model keeps what it promises") -> str:
    """The text of the case file that tells it."""
    body = "\n".join(text for line in _without_unused(world.lines) for text in laid_out(line, STEP))
    used = [name for name in NAMES if name in ("Case", "case") or re.search(rf"\b{name}\b", body)]
    rules = sorted({RULES[sync] for sync in world.sync_modes} or {"BMP-01"})
    formats = world.setup.disks[0].layers[-1].format
    imports = "import errno\n\n" if "errno." in body else ""
    return (
        f'"""{title}."""\n\n{imports}from backcheck import {", ".join(used)}\n\n\n'
        f'@case(rules={_list(rules)}, groups=["model"], formats=["{formats}"])\n'
        f"def run(t: Case) -> None:\n{body}\n"
    )


def _without_unused(lines: Sequence[str]) -> Iterator[str]:
    """The lines without names that nothing uses, and without those that only made one."""
    names = re.findall(r"\w+", re.sub(r'"[^"]*"', "", "\n".join(lines)))
    for line in lines:
        name, _, value = line.partition(" = ")
        if not name.isidentifier() or names.count(name) > 1:
            yield line
        elif value.endswith(")") and not value.startswith("t.bitmap("):
            yield value


def finish(world: World) -> None:
    """All jobs end, the machine ends, and disks and images are what they must be."""
    while world.jobs:
        job = world.jobs[0]
        end = Cancel if job.sync == "none" else Proceed
        end(disk=job.disk.name).tell(world)
    world.say("", 't.step("the end")')
    for bitmap in world.bitmaps.values():
        world.look(bitmap)
    world.say("t.shutdown()")
    for name, disk in world.disks.items():
        world.say(f"{name}.image.expect_content({name}.content)")
        if disk.format == "qcow2":
            world.say(f"{name}.image.expect_clean({'leaks=True' if world.killed else ''})")
        if disk.had_persistent:
            stored = sorted(bitmap.name for bitmap in disk.bitmaps.values() if bitmap.persistent)
            names = f'sorted(str(bitmap["name"]) for bitmap in {name}.image.bitmaps())'
            world.say(f't.expect("bitmaps in {name}.img", {names}, {_list(stored)})')
    if world.held_expected:
        world.say(f"{HELD_TARGET}.image.expect_content({world.held_expected})")


def _list(texts: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"
