"""Reads qcow2 and vmdk images by dissect.hypervisor, a program of its own: a path a line in, size and SHA-256 out.

Compressed clusters of qcow2 it inflates with `zlib.decompressobj(-12)`, so it refuses what refers back more than 4 KiB;
QEMU's own reader, and that of libqcow, do not. Its licence is the AGPL: nothing of it is in this project, and no other
module imports it.
"""

import hashlib
import importlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import BinaryIO

MEMORY = 512 << 20
PIECE = 1 << 20


def opened(path: Path) -> BinaryIO:
    """The disk in an image, whose format its name tells."""
    reader = importlib.import_module(f"dissect.hypervisor.disk.{path.suffix[1:]}")
    disk: BinaryIO = reader.VMDK(path) if path.suffix == ".vmdk" else reader.QCow2(path).open()
    return disk


def answer(path: Path) -> dict[str, object]:
    """Size and digest of the disk in an image, or what the reader said of it."""
    digest = hashlib.sha256()
    try:
        with opened(path) as disk:
            size = disk.seek(0, os.SEEK_END)
            for at in range(0, size, PIECE):
                disk.seek(at)
                digest.update(disk.read(min(PIECE, size - at)))
    except Exception as error:  # its own, zlib's, struct's
        return {"error": f"{type(error).__name__}: {error}"}
    return {"size": size, "sha256": digest.hexdigest()}


def serve() -> None:
    """Answer until there are no more lines."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        print(json.dumps(answer(Path(line.rstrip("\n")))), flush=True)


if __name__ == "__main__":
    serve()
