"""Random values: plausible ones that follow the schema, and what nobody sends on purpose."""

import random
from collections.abc import Mapping
from typing import Any, TypeAlias

from backcheck_engine.qapi.schema import Schema
from backcheck_engine.qapi.types import Alternate, Command, Enumeration, Struct

JsonValue: TypeAlias = Any

DEEPEST = 6
NODES = ("n0", "n1", "null0", "file0", "top0", "t1", "t2", "t3")
DEVICES = ("disk0", "disk1", "disk2")
JOBS = ("j1", "j2", "j3", "disk0", "disk1")
BITMAPS = ("b0", "b1", "b2", "kept")
FILES = ("disk0.qcow2", "disk1.raw", "new1", "new2", "new3", "nowhere/x", "json:{}", 'json:{"driver":"null-co"}')
OBJECTS = ("tg0", "tg1", "io0")
DRIVERS = ("qcow2", "raw", "file", "null-co", "null-aio", "blkdebug", "throttle", "copy-before-write")
POOLS: Mapping[str, tuple[str, ...]] = {
    "device": DEVICES + NODES + JOBS,
    "node": NODES + DEVICES,
    "node-name": NODES,
    "target": NODES + FILES + BITMAPS + DEVICES,
    "reference": NODES,
    "overlay": NODES,
    "file": NODES,
    "id": DEVICES + JOBS + OBJECTS,
    "job-id": JOBS,
    "name": (*BITMAPS, "job_*", "tg0"),
    "local": BITMAPS,
    "bitmap": BITMAPS,
    "filename": FILES,
    "snapshot-file": FILES,
    "snapshot-node-name": NODES,
    "filter-node-name": NODES,
    "backing-file": FILES,
    "format": ("qcow2", "raw", "nope"),
    "driver": DRIVERS,
    "backing-fmt": DRIVERS,
    "throttle-group": OBJECTS,
    "group": OBJECTS,
    "iothread": OBJECTS,
    "path": ("/objects/tg0", "/objects", "/", "tg0", "/machine"),
    "property": ("limits", "x-bps-total", "type", "nope"),
    "enable": ("oob",),
}
"""What the members of that name may be."""
NEEDED = ("node-name", "job-id", "id")
"""Members that are optional, and without which there is mostly an error."""
LIKELY = 0.8
SLOW = ("latency-ns", "delay-ns", "poll-", "length", "iops", "bps", "cbw-timeout")
"""Members by which a client can make requests wait as long as it likes, as on QEMU: they get 0, or what is refused."""

NUMBERS = (0, 1, -1, 2, 3, 7, 255, 511, 512, 513, 4096, 65535, 65536, 1 << 20, (1 << 20) + 1, 8 << 20, 1 << 30)
LARGE = ((1 << 31) - 1, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 512, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64)
NOT_FINITE = (1e308, -1e308, 0.1, -0.0, 1e-300, 1.5, 10**30, -(10**30))
TEXTS = (
    "",
    " ",
    "\0",
    "\x7f\x80",
    "\ud800",
    "\U0010ffff",
    "é" * 300,
    "a" * 1025,
    "a" * 70_000,
    "%s%n%d",
    "..",
    "a/b",
    "a.b[0]",
    "#block001",
    "json:",
    "json:{",
    'json:{"driver": []}',
    "file:",
    "blkdebug::",
    "blkdebug::disk0.qcow2",
    "nbd:localhost:1",
    "fat:x",
    ",,=",
    "\n\r\t",
    "-1",
    "\u202e",
)


class Values:
    """Values by the schema of a release, now and then spoilt."""

    def __init__(self, generator: random.Random, schema: Schema) -> None:
        self._random = generator
        self._schema = schema
        self._chance = generator.random

    def arguments(self, command: Command) -> JsonValue:
        """Arguments of a command that may well be right."""
        return self._object(command.arguments, 0)

    def _object(self, struct: Struct, depth: int) -> dict[str, JsonValue]:
        usual = 0.25 / (depth + 1)
        made = {
            member.name: self.of_type(member.type, member.name, depth + 1)
            for member in self._schema.members(struct)
            if not member.optional or self._chance() < (LIKELY if member.name in NEEDED and not depth else usual)
        }
        union = self._schema.tagged(struct)
        if union and union.tag and union.tag in made:
            branch = union.branches.get(str(made[union.tag]))
            if branch:
                made |= self._object(self._schema.struct(branch), depth)
        return made

    def of_type(self, type_name: str, member: str, depth: int) -> JsonValue:
        """A value of a type, for the member of that name."""
        pick = self._random.choice
        if type_name.startswith("["):
            count = 0 if depth > DEEPEST else pick([0, 1, 1, 2, 3])
            return [self.of_type(type_name[1:-1], member, depth + 1) for _ in range(count)]
        if type_name == "str":
            return pick(POOLS.get(member, NODES + FILES))
        if type_name == "bool":
            return pick([True, False])
        if type_name == "null":
            return None
        if type_name == "any":
            return self.anything(0)
        if type_name in ("number", "int", "size") or type_name.lstrip("u").startswith("int"):
            return self.number(member)
        definition = self._schema.type(type_name)
        if isinstance(definition, Enumeration):
            values = self._schema.values(definition)
            usual = [value for value in values if value in POOLS.get(member, ())]
            return pick(usual if usual and self._chance() < 0.95 else values)
        if isinstance(definition, Alternate):
            members = definition.members
            simple = [each for each in members if each.type in ("str", "null")]
            chosen = pick(simple if simple and depth > DEEPEST else members)
            return self.of_type(chosen.type, chosen.name, depth + 1)
        return self._object(definition, depth)

    def number(self, member: str = "") -> JsonValue:
        """A number for the member of that name."""
        if any(name in member for name in SLOW):
            return self._random.choice([0, 0, -1, 1 << 63])
        return self._random.choice(NUMBERS if self._chance() < 0.9 else LARGE)

    def anything(self, depth: int) -> JsonValue:
        """Whatever JSON can say."""
        kind = self._random.randrange(9 if depth < DEEPEST else 6)
        pick = self._random.choice
        match kind:
            case 0:
                return pick([None, True, False])
            case 1:
                return pick(NUMBERS)
            case 2:
                return pick(LARGE)
            case 3:
                return pick(NOT_FINITE)
            case 4:
                return pick(TEXTS)
            case 5:
                return pick(NODES + FILES + BITMAPS)
            case 6:
                return [self.anything(depth + 1) for _ in range(self._random.randrange(4))]
            case 7:
                return {pick(list(POOLS)): self.anything(depth + 1) for _ in range(self._random.randrange(4))}
            case _:
                return self._deep()

    def _deep(self) -> JsonValue:
        value: JsonValue = 1
        for _ in range(self._random.choice([10, 100, 500])):
            value = [value] if self._chance() < 0.5 else {self._random.choice(["file", "a", "data"]): value}
        return value

    def spoilt(self, value: JsonValue, member: str = "") -> JsonValue:
        """The same with something wrong at one place."""
        if isinstance(value, dict) and value and self._chance() < 0.8:
            key = self._random.choice(list(value))
            match self._random.randrange(8):
                case 0:
                    return {name: content for name, content in value.items() if name != key}
                case 1:
                    return {**value, self._random.choice(TEXTS + tuple(POOLS)): self.anything(2)}
                case _:
                    return {**value, key: self.spoilt(value[key], key)}
        if isinstance(value, list) and value and self._chance() < 0.8:
            place = self._random.randrange(len(value))
            if self._chance() < 0.1:
                return value * 50
            return [*value[:place], self.spoilt(value[place], member), *value[place + 1 :]]
        is_slow = any(name in member for name in SLOW)
        return self._random.choice([None, "x", [], -1, 1 << 64]) if is_slow else self.anything(0)
