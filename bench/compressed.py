"""Compressed targets: backups into them, conversions to them and back. Samples are seconds or bytes."""

import subprocess
import time
from pathlib import Path

from bench.contestant import Contestant
from bench.images import Image, run_img
from bench.measure import expect_success, forget, with_disk
from bench.session import SessionError

ZLIB, ZSTD = "zlib", "zstd"


def backup(contestant: Contestant, source: Image, kind: str) -> tuple[list[float], list[float], list[float]]:
    """A full backup into a new qcow2 image: seconds, the size of the file, and the program's peak memory.

    QEMU always codes by zlib: what the engine does by another coding is held against that.
    """
    target = source.path.with_name("compressed.qcow2")
    coding = kind if contestant.implementation == "engine" else ZLIB
    run_img("create", "-q", "-f", "qcow2", "-o", f"compression_type={coding}", str(target), str(source.size))
    with with_disk(contestant, source) as session:
        arguments = {"device": "disk0", "target": str(target), "format": "qcow2", "sync": "full", "mode": "existing"}
        started = time.perf_counter()
        session.execute("drive-backup", **arguments, compress=True)
        outcome = session.wait("BLOCK_JOB_COMPLETED")
        seconds = time.perf_counter() - started
        memory = session.peak_memory()
    expect_success(contestant, outcome, length=source.size)
    size = target.stat().st_size
    forget(target)
    return [seconds], [float(size)], [float(memory)]


def convert(contestant: Contestant, source: Image) -> tuple[list[float], list[float]]:
    """``convert -c`` of a raw image to qcow2: seconds, and the size of the file."""
    target = source.path.with_name("converted.qcow2")
    seconds = _run_img(contestant, "convert", "-c", "-f", "raw", "-O", "qcow2", str(source.path), str(target))
    size = target.stat().st_size
    forget(target)
    return [seconds], [float(size)]


def read_back(contestant: Contestant, source: Image) -> tuple[list[float]]:
    """``convert`` of a compressed image to raw: seconds."""
    target = source.path.with_name("read.raw")
    seconds = _run_img(contestant, "convert", "-f", "qcow2", "-O", "raw", str(source.path), str(target))
    forget(target)
    return ([seconds],)


def make_compressed(source: Image) -> Image:
    """A raw image, compressed by the installed qemu-img."""
    path = source.path.with_name("source.qcow2")
    run_img("convert", "-c", "-f", "raw", "-O", "qcow2", str(source.path), str(path))
    return Image(path=path, format="qcow2", size=source.size)


def _run_img(contestant: Contestant, *arguments: str) -> float:
    """Seconds that the contestant's image program takes: the one beside its system program."""
    name = "backcheck-img" if contestant.implementation == "engine" else "qemu-img"
    program = Path(contestant.system).with_name(name)
    started = time.perf_counter()
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SessionError(f"{name} {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return seconds
