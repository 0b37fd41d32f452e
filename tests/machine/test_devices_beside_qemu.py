"""Plugging devices in and out, their properties and their iothreads, with real QEMUs and with the engine.

Compared are replies and events, for every release. The nodes have no images: nothing here reads or writes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitor.conversation import Step, both, differences, happened, hmp
from tests.monitor.program import RELEASES

pytestmark = pytest.mark.timeout(60)

BLOCK: Step = ("query-block", {})
NODES = [word for n in range(4) for word in ("-blockdev", f"null-co,node-name=n{n},size=1048576,read-zeroes=on")]
DRIVE = ("-drive", "if=none,id=d0,driver=null-co,size=1048576,read-zeroes=on,node-name=d0-node")
THREADS = ("-object", "iothread,id=io0", "-object", "iothread,id=io1")


def machine(name: str) -> tuple[str, ...]:
    return ("-machine", f"{name},accel=tcg", "-nodefaults", "-display", "none", "-S")


def add(driver: str, **properties: object) -> Step:
    return "device_add", {"driver": driver, **{key.replace("_", "-"): value for key, value in properties.items()}}


def disk(**properties: object) -> Step:
    return add("scsi-hd", **{"id": "bad", "drive": "n3", **properties})


def unplug(name: str) -> Step:
    return "device_del", {"id": name}


def get(path: str, name: str) -> Step:
    return "qom-get", {"path": path, "property": name}


def put(path: str, name: str, value: object) -> Step:
    return "qom-set", {"path": path, "property": name, "value": value}


def to_thread(node: str, thread: str | None, *, force: bool = False) -> Step:
    return "x-blockdev-set-iothread", {"node-name": node, "iothread": thread, "force": force}


ON_Q35: list[Step] = [
    ("device_add", {}),
    ("device_add", {"driver": 3}),
    add("nope"),
    add("virtio-blk-pci", id="v0"),
    add("virtio-blk-pci", id="v0", bus="port0"),
    add("virtio-blk-pci", id="v0", bus="port0", drive="nope"),
    add("virtio-blk-pci", id="v0", bus="nope", drive="n0"),
    add("virtio-blk-pci", id="v0", bus="port0", drive="n0", nope=1),
    add("virtio-blk-pci", id="v0", bus="port0", drive="n0", iothread="nope"),
    add("virtio-blk-pci", id="v0", bus="port0", drive="n0", share_rw="maybe"),
    add("virtio-blk-pci", id="v0", bus="port0", drive="n0"),
    BLOCK,
    add("virtio-blk-pci", id="v0", bus="port1", drive="n1"),
    add("virtio-blk-pci", id="v1", bus="port1", drive="n0"),
    add("virtio-blk-pci", id="v1", bus="port1", drive="d0"),
    add("virtio-blk-pci", id="v2", bus="port1", drive="d0"),
    add("floppy", id="f0"),
    add("usb-storage", id="u0", drive="n1"),
    add("ide-hd", id="i0", drive="n1"),
    add("virtio-blk-device", id="m0", drive="n1"),
    hmp("device_add nope"),
    hmp("device_add virtio-blk-pci,drive=n1"),
    hmp("device_del nope"),
    unplug("v0"),
    unplug("v0"),
    unplug("/machine/peripheral/v0"),
    unplug("/machine/peripheral/v0/virtio-backend"),
    unplug("port0"),
    unplug("nope"),
    ("blockdev-del", {"node-name": "n0"}),
    BLOCK,
]
"""On the machine whose own bus takes nothing while it runs; it has two slots."""

PROPERTIES: list[Step] = [
    disk(werror="nope"),
    disk(lun="x"),
    disk(lun=-1),
    disk(lun=2**32),
    disk(logical_block_size="x"),
    disk(write_cache="x"),
    disk(drive=""),
    disk(bootindex="x"),
    disk(wwn="x"),
    disk(bus="pci.0"),
    hmp("device_add scsi-hd,id=bad,drive=n3,lun=x"),
    hmp("device_add scsi-hd,id=bad,drive=n3,share-rw=x"),
    hmp("device_add scsi-hd,id=bad,drive=n3,nope=1"),
    get("h0", "drive"),
    get("h0", "share-rw"),
    get("h0", "werror"),
    get("h0", "lun"),
    get("h0", "nope"),
    get("h0", "parent_bus"),
    get("v0", "virtio-backend"),
    get("v0", "iothread"),
    get("v0", "hotplugged"),
    get("/machine/peripheral", "v0"),
    get("/machine/peripheral", "nope"),
    get("/machine", "type"),
    get("/objects", "io0"),
    put("v0", "type", "x"),
    put("v0", "realized", "x"),
    put("v0", "virtio-backend", "x"),
    put("v0", "share-rw", True),
    put("h0", "serial", "x"),
    put("/machine/peripheral", "type", "x"),
    put("v0", "drive", "nope"),
    put("v0", "drive", 3),
    put("v0", "drive", "n0"),
    put("v0", "drive", "n2"),
    BLOCK,
]
THREADED: list[Step] = [
    to_thread("n0", None),
    to_thread("n0", None, force=True),
    to_thread("n0", "io0", force=True),
    to_thread("n3", "nope"),
    to_thread("n3", "io1"),
    put("h0", "drive", "n3"),
    to_thread("n3", None),
    add("scsi-hd", id="h1", drive="n0", bus="s1.0", share_rw=True),
    add("scsi-hd", id="h1", drive="n3", bus="s1.0", share_rw=True),
    ("blockdev-backup", {"device": "n0", "target": "n3", "sync": "full", "job-id": "j0"}),
    unplug("h1"),
    happened("DEVICE_DELETED", "h1"),
    unplug("h0"),
    happened("DEVICE_DELETED", "h0"),
    to_thread("n0", "io1"),
    unplug("v0"),
    ("system_reset", {}),
    happened("DEVICE_DELETED", "v0"),
    BLOCK,
    ("object-del", {"id": "io0"}),
]
DEVICES = ("virtio-blk-pci,id=v0,drive=d0,iothread=io0", "virtio-scsi-pci,id=s0,iothread=io0", "virtio-scsi-pci,id=s1")
ON_PC: list[Step] = [add("scsi-hd", id="h0", drive="n0", bus="s0.0", lun=1), *PROPERTIES, *THREADED]


def compare(release: str, folder: Path, arguments: list[str], steps: list[Step], name: str) -> None:
    folders = (folder / "qemu", folder / "engine")
    for one in folders:
        one.mkdir()
    real, engine = both(release, folders, arguments, steps, machine=machine(name))
    commands = [step for step in steps if step[0] != "happened"]
    wrong = [
        f"{step}: {difference}"
        for step, qemu, here in zip(commands, real.replies, engine.replies, strict=True)
        for difference in differences(qemu, here)
    ]
    assert not wrong
    assert not differences(real.lanes, engine.lanes)


@pytest.mark.parametrize("release", RELEASES)
def test_on_q35(release: str, tmp_path: Path) -> None:
    ports = [word for n in range(2) for word in ("-device", f"pcie-root-port,id=port{n},chassis={n},slot={n}")]
    compare(release, tmp_path, [*NODES, *DRIVE, *ports], ON_Q35, "q35")


@pytest.mark.parametrize("release", RELEASES)
def test_on_pc(release: str, tmp_path: Path) -> None:
    devices = [word for device in DEVICES for word in ("-device", device)]
    compare(release, tmp_path, [*NODES, *DRIVE, *THREADS, *devices], ON_PC, "pc")
