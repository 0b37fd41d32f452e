"""Images on block devices of the host: made, filled and opened as by QEMU. Needs the right to make loop devices."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.block.programs import needs_qemu, qemu_img

MiB = 1 << 20
SIZE = 4 * MiB
RELEASE = "7.2"


@pytest.fixture(name="device")
def _device(tmp_path: Path) -> Iterator[Path]:
    """A block device that is full of old data."""
    if os.geteuid() != 0 or shutil.which("losetup") is None:
        pytest.skip("only root can make loop devices, with losetup")
    (tmp_path / "disk").write_bytes(b"\xff" * SIZE)
    made = subprocess.run(
        ["losetup", "--find", "--show", "disk"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"there are no loop devices here: {made.stderr}")
    device = Path(made.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", str(device)], check=True)


def _ours(*arguments: str) -> tuple[int, str]:
    """What backcheck-img does as the installed QEMU: exit status and words."""
    program = Path(sys.executable).with_name("backcheck-img")
    environment = {**os.environ, "BACKCHECK_RELEASE": RELEASE}
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    return done.returncode, done.stdout + done.stderr.replace("backcheck-img", "qemu-img")


@needs_qemu
@pytest.mark.parametrize(
    "arguments",
    [
        "create -f raw DEVICE 1M",
        "create -f raw host_device:DEVICE 1M",
        "create -f raw DEVICE 8M",
        "create -f qcow2 DEVICE 64M",
        "create -f qcow DEVICE 64M",
        "create -f vdi DEVICE 64M",
        "convert -f raw -O raw SOURCE DEVICE",
        "convert -f raw -O qcow2 SOURCE DEVICE",
        "resize -f raw DEVICE 8M",
        "resize -f raw --shrink DEVICE 1M",
    ],
)
def test_a_device_holds_what_qemu_puts_there(arguments: str, device: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(MiB) + b"guest" * 4000 + bytes(480) + bytes(MiB))
    words = [word.replace("DEVICE", str(device)).replace("SOURCE", str(source)) for word in arguments.split()]

    done = qemu_img(*words)
    theirs = device.read_bytes()
    device.write_bytes(b"\xff" * SIZE)
    ours = _ours(*words)

    assert ours == (done.returncode, done.stdout + done.stderr)
    if "vdi" not in words:
        assert device.read_bytes() == theirs
    else:
        assert device.read_bytes()[:0x180] == theirs[:0x180]
