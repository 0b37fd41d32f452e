"""A temporary overlay that takes the writes meant for an image, for programs called with -s."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from backcheck_engine.block.filenames import JSON_PREFIX
from backcheck_engine.block.key_order import json_text
from backcheck_engine.tools.images import ImageName, Images


async def temporary_overlay(images: Images, name: ImageName) -> tuple[Path, ImageName]:
    """The file of a new overlay on the image, and how to open it. The caller removes the file."""
    from backcheck_engine.drivers.creation import create_image

    base = await images.open_bare(replace(name, writable=False))
    node = base.inserted_node()
    size, backing = node.size, {**name.node_options(), "read-only": "on"}
    await images.close(base)
    if not name.is_options:
        backing["file.filename"] = name.text
    backing.setdefault("driver", node.format_name)
    handle, path = tempfile.mkstemp(prefix="backcheck-io-", dir="/var/tmp")
    os.close(handle)
    await create_image(images.graph, path, "qcow2", size=size, quiet=True)
    overlay = ImageName(
        text=path, format="qcow2", writable=True, extra_options={"backing": JSON_PREFIX + json_text(backing)}
    )
    return Path(path), overlay
