"""The commands of the human monitor, as data; their handlers are in the `hmp_*` modules, imported when needed."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

from backcheck_engine.release import QEMU_7_2, Release

if TYPE_CHECKING:
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.hmp_line import HmpArguments

HmpHandler: TypeAlias = "Callable[[Context, HmpArguments], Awaitable[str]]"


class HmpCommand(NamedTuple):
    """One command: its names, argument types, what help shows, and "module:function" of its handler."""

    names: tuple[str, ...]
    types: str
    parameters: str
    help: str
    handler: str

    def load(self) -> HmpHandler:
        """The handler, which gives the text of the reply, with \\n at the end of each line."""
        module, function = self.handler.split(":")
        found = getattr(importlib.import_module(f"backcheck_engine.monitor.{module}"), function)
        return cast("HmpHandler", found)

    def help_line(self, prefix: str = "") -> str:
        """What `help` prints about it."""
        return f"{prefix}{'|'.join(self.names)} {self.parameters} -- {self.help}\n"


DRIVE_BACKUP_HELP: Final = (
    "initiates a point-in-time\n"
    "\t\t\tcopy for a device. The device's contents are\n"
    "\t\t\tcopied to the new image file, excluding data that\n"
    "\t\t\tis written after the command is started.\n"
    "\t\t\tThe -n flag requests QEMU to reuse the image found\n"
    "\t\t\tin new-image-file, instead of recreating it from scratch.\n"
    "\t\t\tThe -f flag requests QEMU to copy the whole disk,\n"
    "\t\t\tso that the result does not need a backing file.\n"
    "\t\t\tThe -c flag requests QEMU to compress backup data\n"
    "\t\t\t(if the target format supports it).\n"
    "\t\t\t"
)

COMMANDS: Final = (
    HmpCommand(
        ("block_job_cancel",),
        "force:-f,device:B",
        "[-f] device",
        "stop an active background block operation (use -f\n"
        "\t\t\t if you want to abort the operation immediately\n"
        "\t\t\t instead of keep running until data is in sync)",
        "hmp_job:block_job_cancel",
    ),
    HmpCommand(
        ("block_job_complete",),
        "device:B",
        "device",
        "stop an active background block operation",
        "hmp_job:block_job_complete",
    ),
    HmpCommand(
        ("block_job_pause",),
        "device:B",
        "device",
        "pause an active background block operation",
        "hmp_job:block_job_pause",
    ),
    HmpCommand(
        ("block_job_resume",),
        "device:B",
        "device",
        "resume a paused background block operation",
        "hmp_job:block_job_resume",
    ),
    HmpCommand(
        ("block_job_set_speed",),
        "device:B,speed:o",
        "device speed",
        "set maximum speed for a background block operation",
        "hmp_job:block_job_set_speed",
    ),
    HmpCommand(("block_resize",), "device:B,size:o", "device size", "resize a block image", "hmp_block:block_resize"),
    HmpCommand(
        ("block_set_io_throttle",),
        "device:B,bps:l,bps_rd:l,bps_wr:l,iops:l,iops_rd:l,iops_wr:l",
        "device bps bps_rd bps_wr iops iops_rd iops_wr",
        "change I/O throttle limits for a block drive",
        "hmp_block:block_set_io_throttle",
    ),
    HmpCommand(("cont", "c"), "", "", "resume emulation", "hmp_machine:cont"),
    HmpCommand(
        ("device_add",),
        "device:s",
        "driver[,prop=value][,...]",
        "add device, like -device on the command line",
        "hmp_device:device_add",
    ),
    HmpCommand(("device_del",), "id:s", "device", "remove device", "hmp_device:device_del"),
    HmpCommand(
        ("drive_add",),
        "node:-n,pci_addr:s,opts:s",
        "[-n] [[<domain>:]<bus>:]<slot>\n"
        "[file=file][,if=type][,bus=n]\n"
        "[,unit=m][,media=d][,index=i]\n"
        "[,snapshot=on|off][,cache=on|off]\n"
        "[,readonly=on|off][,copy-on-read=on|off]",
        "add drive to PCI storage controller",
        "hmp_device:drive_add",
    ),
    HmpCommand(
        ("drive_backup",),
        "reuse:-n,full:-f,compress:-c,device:B,target:s,format:s?",
        "[-n] [-f] [-c] device target [format]",
        DRIVE_BACKUP_HELP,
        "hmp_backup:drive_backup",
    ),
    HmpCommand(("drive_del",), "id:B", "device", "remove host block device", "hmp_device:drive_del"),
    HmpCommand(
        ("eject",),
        "force:-f,device:B",
        "[-f] device",
        "eject a removable medium (use -f to force it)",
        "hmp_device:eject",
    ),
    HmpCommand(("help", "?"), "name:S?", "[cmd]", "show the help", "hmp:help_"),
    HmpCommand(("info",), "item:S?", "[subcommand]", "show various information about the system state", "hmp:info"),
    HmpCommand(
        ("nbd_server_add",),
        "writable:-w,device:B,name:s?",
        "nbd_server_add [-w] device [name]",
        "export a block device via NBD",
        "hmp_export:nbd_server_add",
    ),
    HmpCommand(
        ("nbd_server_remove",),
        "force:-f,name:s",
        "nbd_server_remove [-f] name",
        "remove an export previously exposed via NBD",
        "hmp_export:nbd_server_remove",
    ),
    HmpCommand(
        ("nbd_server_start",),
        "all:-a,writable:-w,uri:s",
        "nbd_server_start [-a] [-w] host:port",
        "serve block devices on the given host and port",
        "hmp_export:nbd_server_start",
    ),
    HmpCommand(
        ("nbd_server_stop",),
        "",
        "nbd_server_stop",
        "stop serving block devices using the NBD protocol",
        "hmp_export:nbd_server_stop",
    ),
    HmpCommand(
        ("qemu-io",),
        "qdev:-d,device:B,command:s",
        '[-d] [device] "[command]"',
        "run a qemu-io command on a block device\n"
        "\t\t\t-d: [device] is a device ID rather than a drive ID or node name",
        "hmp_block:qemu_io",
    ),
    HmpCommand(("logfile",), "filename:F", "filename", "output logs to 'filename'", "hmp_trace:logfile"),
    HmpCommand(("quit", "q"), "", "", "quit the emulator", "hmp_machine:quit_"),
    HmpCommand(("stop", "s"), "", "", "stop emulation", "hmp_machine:stop"),
    HmpCommand(("system_powerdown",), "", "", "send system power down event", "hmp_machine:system_powerdown"),
    HmpCommand(("system_reset",), "", "", "reset the system", "hmp_machine:system_reset"),
    HmpCommand(
        ("trace-event",),
        "name:s,option:b",
        "name on|off [vcpu]",
        "changes status of a specific trace event (vcpu: vCPU to set, default is all)",
        "hmp_trace:trace_event",
    ),
)

INFO_COMMANDS: Final = (
    HmpCommand(
        ("block",),
        "nodes:-n,verbose:-v,device:B?",
        "[-n] [-v] [device]",
        "show info of one block device or all block devices (-n: show named nodes; -v: show details)",
        "hmp_block:info_block",
    ),
    HmpCommand(("block-jobs",), "", "", "show progress of ongoing block device operations", "hmp_job:info_block_jobs"),
    HmpCommand(("blockstats",), "", "", "show block device statistics", "hmp_blockstats:info_blockstats"),
    HmpCommand(("iothreads",), "", "", "show iothreads", "hmp_machine:info_iothreads"),
    HmpCommand(("name",), "", "", "show the current VM name", "hmp_machine:info_name"),
    HmpCommand(("status",), "", "", "show the current VM status (running|paused)", "hmp_machine:info_status"),
    HmpCommand(
        ("trace-events",),
        "name:s?",
        "[name] [vcpu]",
        "show available trace-events & their state (name: event name pattern; vcpu: vCPU to query, default is any)",
        "hmp_trace:info_trace_events",
    ),
    HmpCommand(("uuid",), "", "", "show the current VM UUID", "hmp_machine:info_uuid"),
    HmpCommand(("version",), "", "", "show the version of QEMU", "hmp_machine:info_version"),
)


_NAMES_BEFORE_6_0: Final = {"quit": ("q", "quit"), "cont": ("c", "cont"), "stop": ("stop",)}
"""First name -> the names that a command had."""


@cache
def commands(release: Release) -> tuple[HmpCommand, ...]:
    """The commands with the names of a release."""
    if release >= QEMU_7_2:
        return COMMANDS
    return tuple(entry._replace(names=_NAMES_BEFORE_6_0.get(entry.names[0], entry.names)) for entry in COMMANDS)


def find(table: tuple[HmpCommand, ...], name: str) -> HmpCommand | None:
    """The command of that name, or None."""
    return next((command for command in table if name in command.names), None)
