"""A corrupt image is told of by an event, once, with the place that contradicts itself."""

import struct
import subprocess
import sys
from pathlib import Path

from tests.monitor.program import Peer, running

TOOLS = "backcheck_engine.tools"


def _tool(name: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", f"{TOOLS}.{name}", *arguments], check=True, capture_output=True, timeout=60)


def _claim_the_l1_table_as_data(path: Path) -> int:
    """Let the first cluster's L2 entry point to the L1 table, and return where that is."""
    image = bytearray(path.read_bytes())
    (l1_table,) = struct.unpack_from(">Q", image, 40)
    (l1_entry,) = struct.unpack_from(">Q", image, l1_table)
    struct.pack_into(">Q", image, l1_entry & 0x00FF_FFFF_FFFF_FE00, 1 << 63 | l1_table)
    path.write_bytes(image)
    return int(l1_table)


def test_a_write_into_metadata_is_an_event(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    _tool("img", "create", "-q", "-f", "qcow2", str(path), "1M")
    _tool("io", "-f", "qcow2", "-c", "write 0 64k", str(path))
    l1_table = _claim_the_l1_table_as_data(path)
    drive = f"if=none,id=disk0,node-name=node0,file={path},format=qcow2"
    with running("-drive", drive, "-qmp", "stdio", folder=tmp_path) as process:
        client = Peer.of_process(process)
        client.negotiate()
        for _ in range(2):
            client.send(b'{"execute": "human-monitor-command", "arguments": ')
            client.send(b'{"command-line": "qemu-io disk0 \\"write 0 64k\\""}}')
        messages = []
        while len(messages) < 3:
            line = client.line()
            if line.startswith(b"{"):
                messages.append(line)
    events = [line for line in messages if b'"event"' in line]
    assert len(events) == 1
    assert b'"BLOCK_IMAGE_CORRUPTED"' in events[0]
    for part in (
        '"device": "disk0"',
        '"node-name": "node0"',
        f'"offset": {l1_table}',
        '"size": 65536',
        '"fatal": true',
    ):
        assert part.encode() in events[0]
