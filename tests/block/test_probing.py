"""Guessing formats: every image that qemu-img makes is recognised as what qemu-img itself takes it for."""

import json
from pathlib import Path

import pytest

from backcheck_engine.block.probing import PROBE_BYTES, probe
from tests.block.programs import needs_qemu, qemu_img, qemu_io

FORMATS = ["raw", "qcow", "qcow2", "vmdk", "vdi", "vpc", "vhdx", "qed", "parallels"]


@needs_qemu
@pytest.mark.parametrize("format_name", FORMATS)
def test_images_that_qemu_img_makes(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "image"
    made = qemu_img("create", "-q", "-f", format_name, str(path), "64M")
    if made.returncode:
        pytest.skip(f"this qemu-img makes no {format_name}: {made.stderr.strip()}")
    guessed = json.loads(qemu_img("info", "--output=json", str(path)).stdout)["format"]
    with path.open("rb") as file:
        assert probe(file.read(PROBE_BYTES)) == guessed


@needs_qemu
@pytest.mark.parametrize(
    "start",
    [
        b"QFI\xfb\0\0\0\1",
        b"QFI\xfb\0\0\0\0",
        b"QFI\xfb\0\0\0\x09",
        b"QED\0",
        b"QED",
        b"conectix",
        b"vhdxfile",
        b"KDMV",
        b"COWD",
        b"# Disk DescriptorFile\nversion=1\n",
        b"# Disk DescriptorFile\nversion=9\n",
        b"# Disk DescriptorFile\n\n# more\nversion=2\r\n",
        b"version=3\n",
        b"#\n#x\n   \n  \r\nversion=1\r\n",
        b"#\nversion=1",
        b"LUKS\xba\xbe\0\1",
        b"LUKS\xba\xbe\0\2",
        bytes(0x40) + b"\x7f\x10\xda\xbe",
        b"",
    ],
)
def test_a_guest_writes_a_magic_where_qemu_lets_it(tmp_path: Path, start: bytes) -> None:
    """The witness is QEMU's own refusal to write another format's first sector into a guessed raw image."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(start.ljust(PROBE_BYTES, b"\0"))
    target.write_bytes(bytes(64 * 1024))
    result = qemu_io("-c", f"write -s {source} 0 512", str(target))
    refused = "Operation not permitted" in result.stdout + result.stderr
    assert refused or "wrote 512/512 bytes" in result.stdout
    assert (probe(source.read_bytes()) != "raw") == refused
