"""The images that are backed up, made once in the folder of a run."""

import os
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

KiB, MiB, GiB, TiB = (1 << shift for shift in (10, 20, 30, 40))

PIECE = 4 * MiB
# A quarter zero, a quarter random, half text: the mix repeats all over the image.
MIX = ("zero", "random", "text", "text")
# So few that deflate lives on the choice between many matches, which fast compressors do not make.
FEW_WORDS = ("backup", "cluster", "granularity", "guest", "write", "before", "copy", "node", "target", "error", "job")

SPARSE_DATA = 128 * MiB
SPARSE_EXTENT = MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image file, its format, and its virtual size in bytes."""

    path: Path
    format: str
    size: int


def make_mixed(folder: Path, size: int) -> tuple[Image, Image]:
    """The mixed image as raw and as qcow2; zeroes are written out in the raw one and absent in the other.

    Its text is what people wrote, the sources of Python's library: how far it packs is that of no random generator.
    """
    library = Path(os.__file__).parent
    sources = b"".join(path.read_bytes() for path in sorted(library.glob("*.py")))
    raw = _make_raw(folder / "mixed.raw", size, (sources * (PIECE // len(sources) + 1))[:PIECE])
    qcow2 = Image(path=folder / "mixed.qcow2", format="qcow2", size=size)
    run_img("convert", "-f", "raw", "-O", "qcow2", str(raw.path), str(qcow2.path))
    return raw, qcow2


def make_few_words(folder: Path, size: int) -> Image:
    """As the mixed image, raw, with text of eleven words at random."""
    words = random.Random(1)
    line = " ".join(words.choice(FEW_WORDS) for _ in range(PIECE // 4))
    return _make_raw(folder / "few-words.raw", size, line.encode()[:PIECE])


def _make_raw(path: Path, size: int, content: bytes) -> Image:
    contents = {"zero": bytes(PIECE), "random": b"", "text": content}
    with path.open("wb") as file:
        for offset in range(0, size, PIECE):
            kind = MIX[offset // PIECE % len(MIX)]
            # Random pieces differ from each other, as compressors and caches could tell.
            piece = os.urandom(PIECE) if kind == "random" else contents[kind]
            file.write(piece[: size - offset])
    return Image(path=path, format="raw", size=size)


def make_sparse(folder: Path, size: int) -> Image:
    """A qcow2 image of `size` with 128 MiB of data, spread evenly."""
    image = Image(path=folder / "sparse.qcow2", format="qcow2", size=size)
    run_img("create", "-q", "-f", "qcow2", str(image.path), str(size))
    extents = SPARSE_DATA // SPARSE_EXTENT
    writes = [f"write -q -P 0x5a {number * (size // extents)} {SPARSE_EXTENT}" for number in range(extents)]
    commands = [argument for write in writes for argument in ("-c", write)]
    subprocess.run(["qemu-io", "-f", "qcow2", *commands, str(image.path)], check=True, stdout=subprocess.DEVNULL)
    return image


def run_img(*arguments: str) -> None:
    """Run the installed qemu-img: the sources come from neither contestant's own writing."""
    subprocess.run(["qemu-img", *arguments], check=True, stdout=subprocess.DEVNULL)
