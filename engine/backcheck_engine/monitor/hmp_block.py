"""Commands of the human monitor about block devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.json_value import JsonObject
from backcheck_engine.monitor import registry
from backcheck_engine.monitor.block_query import block_devices, named_nodes
from backcheck_engine.monitor.device_lookup import find_guest_backend

if TYPE_CHECKING:
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.hmp_line import HmpArguments


async def block_resize(context: Context, arguments: HmpArguments) -> str:
    members: JsonObject = {"device": arguments.texts["device"], "size": arguments.sizes["size"]}
    await registry.handler("block_resize")(context, members)
    return ""


async def block_set_io_throttle(context: Context, arguments: HmpArguments) -> str:
    members: JsonObject = {"device": arguments.texts["device"], **arguments.sizes}
    await registry.handler("block_set_io_throttle")(context, members)
    return ""


async def qemu_io(context: Context, arguments: HmpArguments) -> str:
    """Run a qemu-io command. What it prints goes to the program's standard output, not into the reply."""
    from backcheck_engine.qemu_io.dispatch import run_command

    name, line = arguments.texts["device"], arguments.texts["command"]
    reply: list[str] = []
    backend = find_guest_backend(context, name) if "qdev" in arguments.flags else context.graph.backends.get(name)
    if backend is not None:
        await run_command(backend, line, context.write_stdout, report=reply.append)
        return "".join(reply)
    own = BlockBackend(context.graph)
    own.insert(context.graph.find(None, name))
    try:
        await run_command(own, line, context.write_stdout, report=reply.append)
    finally:
        await own.close()
    return "".join(reply)


async def info_block(context: Context, arguments: HmpArguments) -> str:
    wanted = arguments.texts.get("device")
    is_verbose = "verbose" in arguments.flags
    text = ""
    if "nodes" not in arguments.flags:
        for position, device in enumerate(block_devices(context)):
            if wanted in (None, device["device"]):
                text += ("\n" if position else "") + "".join(_device_lines(device, is_verbose=is_verbose))
        if wanted is None or text:
            return text
    for position, node in enumerate(named_nodes(context)):
        if wanted in (None, node["node-name"]):
            text += ("\n" if position else "") + "".join(_node_lines(node, is_verbose=is_verbose))
    return text


def _device_lines(device: JsonObject, *, is_verbose: bool) -> Iterator[str]:
    inserted = cast("JsonObject | None", device.get("inserted"))
    node_name = inserted["node-name"] if inserted else None
    if device["device"]:
        title = f"{device['device']} ({node_name})" if node_name else str(device["device"])
    else:
        title = str(node_name or device.get("qdev") or "<anonymous>")
    yield f"{title}{_image_part(inserted)}\n"
    if "qdev" in device:
        yield f"    Attached to:      {device['qdev']}\n"
    if device["removable"]:
        tray = "open" if device.get("tray_open") else "closed"
        yield f"    Removable device: {'' if device['locked'] else 'not '}locked, tray {tray}\n"
    if inserted:
        yield from _inserted_lines(inserted, is_verbose=is_verbose)


def _node_lines(node: JsonObject, *, is_verbose: bool) -> Iterator[str]:
    yield f"{node['node-name']}{_image_part(node)}\n"
    yield from _inserted_lines(node, is_verbose=is_verbose)


def _image_part(inserted: JsonObject | None) -> str:
    if inserted is None:
        return ": [not inserted]"
    notes = (", read-only" if inserted["ro"] else "") + (", encrypted" if inserted["encrypted"] else "")
    return f": {inserted['file']} ({inserted['drv']}{notes})"


def _inserted_lines(inserted: JsonObject, *, is_verbose: bool) -> Iterator[str]:
    cache = cast("JsonObject", inserted["cache"])
    modes = ["writeback" if cache["writeback"] else "writethrough"]
    modes += [text for name, text in (("direct", "direct"), ("no-flush", "ignore flushes")) if cache[name]]
    yield f"    Cache mode:       {', '.join(modes)}\n"
    if "backing_file" in inserted:
        yield f"    Backing file:     {inserted['backing_file']} (chain depth: {inserted['backing_file_depth']})\n"
    if inserted["detect_zeroes"] != "off":
        yield f"    Detect zeroes:    {inserted['detect_zeroes']}\n"
    if "group" in inserted:
        yield f"    I/O throttling:   {_limits(inserted)}\n"
    if is_verbose:
        from backcheck_engine.qemu_io.image_text import image_lines

        yield "\nImages:\n"
        image = cast("JsonObject | None", inserted["image"])
        while image is not None:
            yield from (f"{line}\n" for line in image_lines(image))
            image = cast("JsonObject | None", image.get("backing-image"))


def _limits(inserted: JsonObject) -> str:
    """The limits of a device and its group, as `info block` shows them."""
    shown = []
    for unit in ("bps", "iops"):
        for part in ("", "_max"):
            shown += [
                (name, inserted.get(name, 0)) for name in (f"{unit}{scope}{part}" for scope in ("", "_rd", "_wr"))
            ]
    shown += [("iops_size", inserted.get("iops_size", 0)), ("group", inserted["group"])]
    return " ".join(f"{name}={value}" for name, value in shown)
