"""Random histories of one disk and its backups, as data: images, commands and waits, the same ones for each seed.

A history is told to a program as it is; nothing in it depends on time. While a job runs freely nothing else happens;
what guests do meanwhile, they do while a job is pending, waits for its speed limit after the first chunk, or has no
copying of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

KiB = 1024
MiB = 1024 * KiB
Command: TypeAlias = "tuple[str, dict[str, Any]]"

SIZES = (1, 512, 4097, 1_000_000, 5 * 64 * KiB + 512, MiB, 3 * MiB + 4 * KiB, 4 * MiB)
CLUSTERS = ("512", "4k", "64k", "64k", "2M")
GRANULARITIES = (512, 4 * KiB, 64 * KiB, MiB)
DISK = "disk0"
NODE = "disk0-node"
SLOW = {"speed": 1, "x-perf": {"max-chunk": 64 * KiB, "max-workers": 1}}
"""One chunk, and then nothing for ever."""


def whole_sectors(size: int) -> int:
    """A size as every program sees it."""
    return -(-size // 512) * 512


@dataclass
class History:
    """What to make, how to start, what to say, and which images to look at in the end."""

    seed: int
    tools: list[list[str]] = field(default_factory=list)
    """Runs of qemu-img and qemu-io before the start."""
    options: list[str] = field(default_factory=list)
    steps: list[Command] = field(default_factory=list)
    disk: tuple[str, str] = ("", "")
    """The source: (filename, format)."""
    targets: list[tuple[str, str]] = field(default_factory=list)
    """(filename, format)."""
    bitmaps: list[str] = field(default_factory=list)


class Author:
    """Makes up one history."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.story = History(seed)
        self.exact_size = self.random.choice(SIZES)
        self.size = whole_sectors(self.exact_size)
        self.format = "qcow2"
        self.has_backing = False
        self.numbers = 0

    def tell(self) -> History:
        """The whole of it."""
        self.make_disk()
        drive = f"if=none,id={DISK},node-name={NODE},file=top.img,format={self.format}"
        if self.random.random() < 0.5:
            drive += ",discard=unmap"
        self.story.options += ["-drive", drive]
        for _ in range(self.random.randint(1, 3)):
            self.add_bitmap()
        for _ in range(self.random.randint(3, 6)):
            self.write_some()
            self.random.choice((self.add_bitmap, self.change_bitmap, self.back_up, self.back_up, self.back_up))()
        return self.story

    # Images.

    def make_disk(self) -> None:
        """A chain of one to three images; those below may be shorter or longer."""
        depth = self.random.choice((1, 2, 2, 3))
        below: tuple[str, str] | None = None
        for level in range(depth):
            is_top = level == depth - 1
            name = "top.img" if is_top else f"base{level}.img"
            size = self.exact_size if is_top else self.random.choice((*SIZES, self.exact_size, self.exact_size))
            kind = "raw" if below is None and self.random.random() < 0.3 else "qcow2"
            self.make_image(name, kind, size, below)
            self.fill(name, kind, whole_sectors(size))
            below = (name, kind)
            self.format = kind
        self.story.disk = ("top.img", self.format)
        self.has_backing = depth > 1

    def make_image(self, name: str, kind: str, size: int, below: tuple[str, str] | None = None) -> None:
        """One image, with one of the cluster sizes."""
        options = []
        if kind == "qcow2":
            options = [f"cluster_size={self.random.choice(CLUSTERS)}"]
            if self.random.random() < 0.15:
                options = ["cluster_size=64k", "extended_l2=on"]
            options = ["-o", ",".join(options)]
        backing = ["-b", below[0], "-F", below[1]] if below else []
        self.story.tools.append(["qemu-img", "create", "-q", "-f", kind, *options, *backing, name, str(size)])

    def fill(self, name: str, kind: str, size: int) -> None:
        """Something in an image before its life begins."""
        writes = [argument for _ in range(self.random.randint(0, 4)) for argument in ("-c", self.write(size))]
        if writes:
            self.story.tools.append(["qemu-io", "-f", kind, *writes, name])

    def write(self, size: int) -> str:
        """A line for qemu-io that changes a part of a disk."""
        unit = self.random.choice((512, 512, 4 * KiB, 64 * KiB))
        offset = self.random.randrange(size) // unit * unit
        length = min(self.random.choice((512, 4 * KiB, 64 * KiB, 70 * KiB, 300 * KiB, MiB)), size - offset)
        length = max(512, length // 512 * 512)
        pattern = f"-P {self.random.choice((0, 17, 34, 51, 85))}"
        verb = self.random.choice((f"write {pattern}", f"write {pattern}", f"write {pattern}", "write -z", "discard"))
        return f"{verb} {offset} {length}"

    # Steps.

    def say(self, command: str, **arguments: Any) -> None:
        """A command, with underscores for the hyphens of its arguments."""
        members = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.story.steps.append((command, members))

    def until(self, status: str) -> None:
        """Wait for that state of the job."""
        self.say("until", status=status)

    def write_some(self) -> None:
        """What guests do at any time."""
        for _ in range(self.random.randint(0, 3)):
            self.say("human-monitor-command", command_line=f'qemu-io {DISK} "{self.write(self.size)}"')

    def add_bitmap(self) -> None:
        """One more bitmap."""
        name = f"b{len(self.story.bitmaps)}"
        self.story.bitmaps.append(name)
        more = {"disabled": True} if self.random.random() < 0.15 else {}
        granularity = self.random.choice(GRANULARITIES)
        self.say("block-dirty-bitmap-add", node=NODE, name=name, granularity=granularity, **more)

    def change_bitmap(self) -> None:
        """A verb on a bitmap."""
        verb = self.random.choice(("clear", "enable", "disable", "merge"))
        if verb == "merge":
            target, source = self.random.choice(self.story.bitmaps), self.random.choice(self.story.bitmaps)
            self.say("block-dirty-bitmap-merge", node=NODE, target=target, bitmaps=[source])
        else:
            self.say(f"block-dirty-bitmap-{verb}", node=NODE, name=self.random.choice(self.story.bitmaps))

    def back_up(self) -> None:
        """One backup from its start to its end."""
        sync = self.random.choice(("full", "top", "none", "incremental", "bitmap", "bitmap"))
        arguments: dict[str, Any] = {"job-id": "j0", "device": DISK, "sync": sync, "auto-finalize": False}
        if sync in ("bitmap", "incremental") or (sync != "none" and self.random.random() < 0.4):
            arguments["bitmap"] = self.random.choice(self.story.bitmaps)
            modes = ("on-success", "always", "never") if sync == "bitmap" else ("on-success", "always")
            arguments["bitmap-mode"] = "on-success" if sync == "incremental" else self.random.choice(modes)
        is_slow = sync != "none" and self.random.random() < 0.4
        if is_slow:
            arguments |= SLOW
        elif self.random.random() < 0.2:
            arguments["compress"] = True
        command = self.choose_target(arguments, sync)
        self.story.steps.append((command, arguments))
        self.end_backup(is_endless=is_slow or sync == "none")

    def choose_target(self, arguments: dict[str, Any], sync: str) -> str:
        """A target that is made, exists, or is a node; the command that takes it."""
        self.numbers += 1
        name = f"t{self.numbers}.img"
        kind = "raw" if self.random.random() < 0.15 and not arguments.get("compress") else "qcow2"
        if self.random.random() < 0.5:
            arguments |= {"target": name, "format": kind}
            if kind == "raw" and (sync == "none" or (sync == "top" and self.has_backing)):
                return "drive-backup"
            self.story.targets.append((name, kind))
            return "drive-backup"
        below = ("top.img", self.format) if sync == "none" and kind == "qcow2" else None
        self.make_image(name, kind, self.exact_size, below)
        if not arguments.get("compress") and below is None:
            self.fill(name, kind, self.size)
        if self.random.random() < 0.5:
            self.story.targets.append((name, kind))
            arguments |= {"target": name, "format": kind, "mode": "existing"}
            return "drive-backup"
        node = f"target{self.numbers}"
        backing = {"backing": NODE} if below else {}
        self.say("blockdev-add", driver=kind, node_name=node, file={"driver": "file", "filename": name}, **backing)
        self.story.targets.append((name, kind))
        arguments["target"] = node
        return "blockdev-backup"

    def end_backup(self, *, is_endless: bool) -> None:
        """Wait, let guests and clients do things, and end the job one way or the other."""
        if not is_endless:
            self.until("pending")
        else:
            self.say("settle")
        self.write_some()
        if self.random.random() < 0.3:
            self.change_bitmap()
        if self.random.random() < 0.3:
            self.say("block_resize", device=DISK, size=self.size)
        self.say("query-block-jobs")
        if is_endless and self.random.random() < 0.4:
            self.say("job-pause", id="j0")
            self.write_some()
            self.say("job-resume", id="j0")
        if is_endless and self.random.random() < 0.5:
            self.say("block-job-set-speed", device="j0", speed=0)
            self.say("finish")
        else:
            self.say(self.random.choice(("job-cancel", "job-finalize")), id="j0")
            self.say("job-cancel", id="j0")
        self.until("null")
        self.say("bitmaps")
