"""Which options there are, whether they take an argument, and what becomes of them.

An option that QEMU knows and that only matters to a machine with a processor is accepted; one that would change what a
client sees, and that the engine does not have, is refused. Any other is not an option at all.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from backcheck_engine.release import QEMU_7_2, QEMU_10_0, Release


class Treatment(Enum):
    """What becomes of an option."""

    HONOURED = "honoured"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Option(NamedTuple):
    """One option: the form of its argument ("" for none), and a line of help for those that --help shows."""

    name: str
    argument: str = ""
    help: str = ""
    treatment: Treatment = Treatment.HONOURED
    since: Release | None = None
    until: Release | None = None

    def exists_in(self, release: Release) -> bool:
        return not (self.since and release < self.since) and not (self.until and release >= self.until)


_SHOWN: Final = (
    Option("h", "", "show this text and end"),
    Option("help"),
    Option("version", "", "show the version and end"),
    Option("machine", "[type=]name[,prop[=value][,...]]", "choose the machine ('-machine help' lists them)"),
    Option("M", "[type=]name[,prop[=value][,...]]"),
    Option("accel", "[accel=]accelerator[,prop[=value][,...]]", "accepted ('-accel help' lists them)"),
    Option("name", "string[,process=string][,debug-threads=on|off]", "name the guest"),
    Option("uuid", "%08x-%04x-%04x-%04x-%012x", "give the machine a UUID"),
    Option("drive", "[file=file][,if=type][,id=name][,format=f][,media=d][,cache=c][,werror=a]...", "add a drive"),
    Option("hda", "file", "use 'file' as the first disk; -hdb, -hdc and -hdd the next ones"),
    Option("cdrom", "file", "use 'file' as a CD-ROM"),
    Option("blockdev", "[driver=]driver[,node-name=N][,discard=...][,cache.direct=...]...", "add a block node"),
    Option("device", "driver[,prop[=value][,...]]", "add a device ('-device help' lists those with a drive)"),
    Option("object", "type,id=name[,prop=value][,...]", "create an object: throttle-group, iothread, secret"),
    Option("chardev", "socket,id=id[,path=P][,host=H,port=N][,fd=N][,server=on][,wait=off]", "add a character device"),
    Option("mon", "[chardev=]name[,mode=readline|control][,pretty[=on|off]]", "put a monitor on a character device"),
    Option("qmp", "dev", "put a QMP monitor on 'dev': stdio, unix:path,…, tcp:host:port,…"),
    Option("qmp-pretty", "dev", "the same, with replies in many lines"),
    Option("monitor", "dev", "put a human monitor on 'dev'; only 'none' and 'null' yet"),
    Option("pidfile", "file", "write the process id to 'file'"),
    Option("daemonize", "", "go to the background when ready"),
    Option("S", "", "wait for 'cont' before the guest starts"),
    Option("trace", "[[enable=]pattern][,events=file]", "tell events ('-trace help' lists them)"),
    Option("D", "file", "tell them in a file (default: standard error)"),
    Option("d", "item[,...]", "of the log's items trace:PATTERN is honoured"),
    Option("msg", "[timestamp=on|off]", "whether events are told with the time"),
    Option("add-fd", "fd=fd,set=set[,opaque=opaque]", "accepted"),
    Option("compat", "[deprecated-input=accept|reject|crash]...", "what to do about deprecated input", since=QEMU_7_2),
)

_QUIET: Final = (Option("hdb", "file"), Option("hdc", "file"), Option("hdd", "file"))

_ACCEPTED_WITH_ARGUMENT: Final = (
    "L acpitable append audio audiodev bios boot bt cpu debugcon display dtb fsdev fw_cfg global gdb icount k "
    "kernel initrd m mem-path net netdev nic numa overcommit parallel plugin qtest qtest-log rtc sandbox serial "
    "set smbios smp soundhw spice tb-size tpmdev usbdevice vga virtfs vnc watchdog watchdog-action "
    "run-with"
)
_ACCEPTED_FLAGS: Final = (
    "enable-kvm full-screen mem-prealloc no-fd-bootchk no-hpet no-quit no-reboot no-shutdown no-user-config nodefaults "
    "nographic only-migratable s usb win2k-hack old-param xen-attach"
)
_REFUSED_WITH_ARGUMENT: Final = (
    "incoming loadvm readconfig writeconfig fda fdb mtdblock sd pflash iscsi virtiofs dump-vmstate"
)
_REFUSED_FLAGS: Final = "preconfig snapshot"

_ALL: Final = (
    *_SHOWN,
    *_QUIET,
    *(Option(name, "arg", "", Treatment.ACCEPTED) for name in _ACCEPTED_WITH_ARGUMENT.split()),
    *(Option(name, "", "", Treatment.ACCEPTED) for name in _ACCEPTED_FLAGS.split()),
    *(Option(name, "arg", "", Treatment.REFUSED) for name in _REFUSED_WITH_ARGUMENT.split()),
    *(Option(name, "", "", Treatment.REFUSED) for name in _REFUSED_FLAGS.split()),
    Option("action", "arg", "", Treatment.ACCEPTED, since=QEMU_7_2),
    Option("no-acpi", "", "", Treatment.ACCEPTED, until=QEMU_10_0),
    Option("chroot", "dir", "", Treatment.REFUSED, until=QEMU_10_0),
    Option("runas", "user", "", Treatment.REFUSED, until=QEMU_10_0),
)

OPTIONS: Final = {option.name: option for option in _ALL}


def shown_in(release: Release) -> list[Option]:
    """The options that --help lists."""
    return [option for option in _SHOWN if option.help and option.exists_in(release)]
