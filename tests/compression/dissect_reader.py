"""Reads qcow2 images by dissect.hypervisor, a program of its own: a path a line in, size and SHA-256 a line out.

It inflates with `zlib.decompressobj(-12)`, so it refuses what refers back more than 4 KiB; QEMU's own reader, and that
of libqcow, do not. Its licence is the AGPL: nothing of it is in this project, and no other module imports it.
"""

import hashlib
import importlib
import json
import resource
import sys
from pathlib import Path

MEMORY = 512 << 20
PIECE = 1 << 20


def answer(path: Path) -> dict[str, object]:
    """Size and digest of the disk in an image, or what the reader said of it."""
    digest = hashlib.sha256()
    try:
        image = importlib.import_module("dissect.hypervisor.disk.qcow2").QCow2(path)
        with image.open() as disk:
            for at in range(0, image.size, PIECE):
                disk.seek(at)
                digest.update(disk.read(min(PIECE, image.size - at)))
    except Exception as error:  # its own, zlib's, struct's
        return {"error": f"{type(error).__name__}: {error}"}
    return {"size": image.size, "sha256": digest.hexdigest()}


def serve() -> None:
    """Answer until there are no more lines."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        print(json.dumps(answer(Path(line.rstrip("\n")))), flush=True)


if __name__ == "__main__":
    serve()
