"""A temporary overlay that takes the writes meant for an image, for programs called with -s."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from backcheck_engine.tools.images import ImageName, Images


@asynccontextmanager
async def temporary_overlay(images: Images, name: ImageName) -> AsyncIterator[ImageName]:
    """A new overlay on the image, to be opened in this section; its file has gone from its folder afterwards."""
    from backcheck_engine.drivers.creation import create_image

    base = await images.open_node(replace(name, writable=False))
    handle, path = tempfile.mkstemp(prefix="backcheck-io-", dir="/var/tmp")
    os.close(handle)
    try:
        await create_image(images.graph, path, "qcow2", size=base.size, quiet=True)
        yield ImageName(text=path, format="qcow2", writable=True, extra_options={"backing": base.node_name})
    finally:
        os.unlink(path)
        await base.unref()
