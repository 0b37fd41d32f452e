"""What is measured of dirty bitmaps. Each function runs one contestant once and returns lists of samples.

The disk is a terabyte that holds nothing, its bitmaps have a granularity of 64 KiB: sixteen million bits.
"""

import json
import random
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.contestant import Contestant
from bench.images import Image, KiB, MiB, TiB, run_img
from bench.measure import PATTERN, expect_success, forget, with_disk
from bench.session import Session

CLUSTER = 64 * KiB
BITMAPS = 8
SCATTERED = 5_000
"""How many of the disk's clusters are marked, each alone."""
SEED = 3
NODE = "disk0-node"


def incremental(contestant: Contestant, source: Image) -> tuple[list[float]]:
    """A backup of the hundredth part of a disk that was written since the last one: seconds to its completion."""
    target = source.path.with_name("incremental.qcow2")
    run_img("create", "-q", "-f", "qcow2", str(target), str(source.size))
    clusters = random.Random(SEED).sample(range(source.size // CLUSTER), source.size // CLUSTER // 100)
    with with_disk(contestant, source) as session:
        session.execute("block-dirty-bitmap-add", node=NODE, name="b0", granularity=CLUSTER)
        for cluster in clusters:
            session.human(f'qemu-io disk0 "write -P {PATTERN} {cluster * CLUSTER} {CLUSTER}"')
        started = time.perf_counter()
        session.execute(
            "drive-backup",
            device="disk0",
            target=str(target),
            format="qcow2",
            mode="existing",
            sync="incremental",
            bitmap="b0",
        )
        outcome = session.wait("BLOCK_JOB_COMPLETED")
        seconds = time.perf_counter() - started
    expect_success(contestant, outcome, length=len(clusters) * CLUSTER)
    forget(target)
    return ([seconds],)


def terabyte(contestant: Contestant) -> tuple[list[float], ...]:
    """Seconds to add a bitmap, the bytes it takes, seconds to merge it, and to merge it into a coarser one."""
    tree = {"driver": "null-co", "node-name": NODE, "size": TiB, "read-zeroes": True}
    with Session(contestant.system, ["-drive", f"if=none,id=disk0,{_dotted(tree)}"]) as session:
        session.execute("block-dirty-bitmap-add", node=NODE, name="marked", granularity=CLUSTER)
        for cluster in random.Random(SEED).sample(range(TiB // CLUSTER), SCATTERED):
            session.human(f'qemu-io disk0 "write -z {cluster * CLUSTER} {CLUSTER}"')
        before = session.memory()
        added = [_time(partial(_add, session, name, CLUSTER)) for name in _names("same")]
        taken = (session.memory() - before) / BITMAPS
        for name in _names("coarse"):
            _add(session, name, MiB)
        merged = [_time(partial(_merge, session, name)) for name in _names("same")]
        iterated = [_time(partial(_merge, session, name)) for name in _names("coarse")]
    return added, [taken], merged, iterated


def make_marked(folder: Path) -> Image:
    """A qcow2 image of a terabyte in which the installed QEMU has stored a bitmap with scattered bits."""
    image = Image(path=folder / "marked.qcow2", format="qcow2", size=TiB)
    overlay = folder / "marks.qcow2"
    for path in (image.path, overlay):
        run_img("create", "-q", "-f", "qcow2", str(path), str(TiB))
        run_img("bitmap", "--add", "-g", str(CLUSTER), str(path), "b0")
    offsets = random.Random(SEED).sample(range(TiB // CLUSTER), SCATTERED)
    commands = [word for offset in offsets for word in ("-c", f"write -q -z -u {offset * CLUSTER} {CLUSTER}")]
    subprocess.run(["qemu-io", "-f", "qcow2", *commands, str(overlay)], check=True, stdout=subprocess.DEVNULL)
    # Only the bitmap is wanted, not the tables of the clusters that were written for it.
    run_img("bitmap", "--merge", "b0", "-b", str(overlay), "-F", "qcow2", str(image.path), "b0")
    overlay.unlink()
    return image


def persistent(contestant: Contestant, image: Image) -> tuple[list[float], list[float]]:
    """Seconds to open an image with a stored bitmap once more, and to close it, which stores the bitmap again."""
    node = {"driver": image.format, "node-name": "disk", "file": {"driver": "file", "filename": str(image.path)}}
    with Session(contestant.system) as session:
        # What a program needs to load of itself for its first image is not what is asked here.
        session.execute("blockdev-add", **node)
        session.execute("blockdev-del", node_name="disk")
        opened = _time(partial(session.execute, "blockdev-add", **node))
        closed = _time(partial(session.execute, "blockdev-del", node_name="disk"))
    return [opened], [closed]


def _add(session: Session, name: str, granularity: int) -> None:
    session.execute("block-dirty-bitmap-add", node=NODE, name=name, granularity=granularity)


def _merge(session: Session, name: str) -> None:
    session.execute("block-dirty-bitmap-merge", node=NODE, target=name, bitmaps=["marked"])


def _names(kind: str) -> list[str]:
    return [f"{kind}{number}" for number in range(BITMAPS)]


def _time(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _dotted(tree: dict[str, object]) -> str:
    return ",".join(f"{key}={json.dumps(value) if isinstance(value, bool) else value}" for key, value in tree.items())
