"""Command lines that are wrong: the engine says what a real QEMU says, and ends as it does."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.monitor.program import ENGINE, MACHINE, engine_environment, real_program

CONVERSATION = b'{"execute": "qmp_capabilities"}{"execute": "quit"}'

COMMAND_LINES = """
-foo
--foo bar
foo.img
-drive file=nope
-drive if=none,file=q.qcow2,format=qcow2,id=a -drive if=none,file=q.qcow2,format=qcow2,id=a
-drive if=none,file=q.qcow2,format=raw2,id=a
-drive if=foo,file=q.qcow2
-drive if=none,id=1a,file=q.qcow2
-drive if=none,id=a,foo=bar,file=q.qcow2
-drive if=none,id=a
-drive if=none,id=a,cache=none
-drive if=none,id=a,readonly=on
-drive if=none,id=a,format=qcow2
-drive if=none,id=a,media=foo,file=q.qcow2
-drive if=none,id=a,cache=foo,file=q.qcow2
-drive if=none,id=a,aio=foo,file=q.qcow2
-drive if=none,id=a,aio=native,file=q.qcow2,format=qcow2
-drive if=none,id=a,werror=foo,file=q.qcow2
-drive if=none,id=a,rerror=enospc,file=q.qcow2
-drive if=none,id=a,readonly=foo,file=q.qcow2
-drive if=none,id=a,discard=foo,file=q.qcow2
-drive if=none,id=a,detect-zeroes=foo,file=q.qcow2
-drive if=none,id=a,format=raw,driver=raw,file=r.raw
-drive if=none,id=a,read-only=on,readonly=on,file=r.raw,format=raw
-drive if=none,id=a,file=r.raw
-drive if=none,id=a,file=r.raw,format=raw,node-name=a
-drive if=none,id=a,file=r.raw,format=raw,node-name=1x
-drive if=none,id=a,file=json:{}
-drive if=none,id=a,file=nosuch:foo
-drive if=none,id=a,file=blkdebug::q.qcow2,format=qcow2
-drive if=none,id=a,file.filename=q.qcow2,file.driver=file,driver=qcow2,file.foo=3
-drive if=virtio,file=q.qcow2,format=qcow2
-drive if=ide,file=q.qcow2,format=qcow2
-drive help
-blockdev foo
-blockdev {
-blockdev {}
-blockdev driver=null-co,node-name=a,size=1M
-blockdev driver=null-co,node-name=a,read-only=foo
-blockdev driver=qcow2,node-name=a,file=nope
-blockdev driver=qcow2,node-name=a,file.driver=file,file.filename=nope
-blockdev driver=raw,file=a,node-name=b -blockdev driver=file,node-name=a,filename=r.raw
-blockdev driver=file,node-name=a,filename=r.raw -blockdev driver=raw,file=a,node-name=b
-blockdev driver=file,node-name=a,filename=r.raw,foo=1
-blockdev driver=file,node-name=a,filename=r.raw,filename.x=1
-blockdev a,,b=1
-blockdev help
-device foo
-device virtio-blk-pci,drive=a
-device scsi-hd,drive=a
-accel foo
-name foo,bar=1
-uuid foo
-monitor foo
-qmp none
-qmp unix:q,server=on,wait=off,foo=bar
-qmp unix:q,server=foo
-qmp unix:nonexistent
-qmp unix:/nonexistent/q,server=on,wait=off
-qmp unix:.,server=on,wait=off
-daemonize -qmp stdio
-qmp tcp:foo
-qmp tcp:127.0.0.1:1
-qmp tcp:127.0.0.1:x,server=on,wait=off
-qmp stdio
-qmp chardev:foo
-chardev socket,id=m,path=q,server=on,wait=off -mon chardev=m,mode=control
-chardev socket,id=m,path=q,server=on,wait=off -mon chardev=m,mode=foo
-chardev socket,id=m,path=q,server=on,wait=off -mon chardev=nope,mode=control
-chardev socket,id=m,path=q,server=on,wait=off -mon mode=control
-chardev socket,id=m,path=q,server=on,wait=off -mon m,mode=control -mon m,mode=control
-chardev socket,id=m
-chardev socket,path=q
-chardev socket,id=m,fd=99
-chardev socket,id=m,path=q,fd=3
-chardev socket,id=m,host=127.0.0.1
-chardev foo,id=m
-chardev null,id=m -chardev null,id=m
-object throttle-group,id=tg0,x-bps-total=1048576 -object iothread,id=io0
-object throttle-group,id=tg0,foo=1
-object throttle-group,id=tg0,x-bps-total=foo
-object throttle-group
-object foo,id=x
-object iothread,id=1a
-pidfile /nonexistent/pid
-compat foo=reject
""".strip().splitlines()

WITH_A_MACHINE = """
-device virtio-blk-pci
-device virtio-blk-pci,drive=nope
-drive if=none,id=a -device virtio-blk-pci,drive=a
-drive if=none,id=a,file=r.raw,format=raw -device virtio-blk-pci,drive=a -device virtio-blk-pci,drive=a
-drive if=none,id=a,file=r.raw,format=raw -device virtio-blk,drive=a,id=v -device virtio-blk,drive=a,id=v
-blockdev driver=file,node-name=a,filename=r.raw -device virtio-blk,drive=a,id=v -device virtio-blk,drive=a,id=w
-blockdev driver=file,node-name=a,filename=r.raw -device virtio-blk-pci,drive=a,foo=1
-blockdev driver=file,node-name=a,filename=r.raw -device scsi-hd,drive=a
-hda r.raw -hda r.raw
""".strip().splitlines()

STRIDES = {"5.2": 16, "7.2": 6, "10.0": 16, "11.1": 16}
"""Which part of the lines is tried with a release; a soak tries all."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a raw and a qcow2 image."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "r.raw").write_bytes(bytes(1 << 20))
    program = real_program("7.2").replace("qemu-system-x86_64", "qemu-img")
    subprocess.run([program, "create", "-q", "-f", "qcow2", folder / "q.qcow2", "1M"], check=True)
    return folder


def outcome(program: tuple[str, ...], release: str, folder: Path, arguments: list[str]) -> tuple[int, str]:
    """(exit status, standard error), the program's own name left out."""
    done = subprocess.run(
        [*program, *arguments, "-qmp", "stdio"],
        input=CONVERSATION,
        capture_output=True,
        cwd=folder,
        env=engine_environment(release),
        timeout=60,
        check=False,
    )
    error = done.stderr.decode()
    return done.returncode, error.replace("qemu-system-x86_64: ", "PROGRAM: ").replace("__main__.py: ", "PROGRAM: ")


def differences(release: str, folder: Path, machine: tuple[str, ...], lines: list[str]) -> list[str]:
    real = real_program(release)
    differing = []
    for line in lines:
        arguments = [*machine, *shlex.split(line)]
        theirs = outcome((real,), release, folder, arguments)
        ours = outcome(ENGINE, release, folder, arguments)
        ours = (ours[0], ours[1].replace("backcheck-engine: ", "PROGRAM: "))
        if theirs != ours:
            differing.append(f"{line}\n  {theirs}\n  {ours}")
    return differing


@pytest.mark.parametrize("release", STRIDES)
def test_refused_as_qemu_refuses(release: str, folder: Path, request: pytest.FixtureRequest) -> None:
    lines = [line for line in COMMAND_LINES if not (release == "5.2" and line.startswith("-compat"))]
    stride = 1 if request.config.getoption("--soak") else STRIDES[release]
    first = list(STRIDES).index(release)
    assert "\n".join(differences(release, folder, MACHINE, lines[first::stride])) == ""


def test_devices_as_qemu(folder: Path) -> None:
    """With 7.2 only: the unpacked ones complain about missing modules when a whole machine is made."""
    machine = ("-machine", "pc", "-nodefaults", "-display", "none", "-S")
    assert "\n".join(differences("7.2", folder, machine, WITH_A_MACHINE)) == ""
