"""Trace events: how they are asked for, beside a real QEMU where there is one, and what a backup tells."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENGINE = [sys.executable, "-m", "backcheck_engine"]
MACHINE = ["-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]
CONVERSATION = '{"execute": "qmp_capabilities"}{"execute": "quit"}'
BACKUP = {"device": "disk0", "target": "target.img", "sync": "full", "format": "raw", "job-id": "job0"}


def run(
    program: list[str], arguments: list[str], folder: Path, conversation: str = CONVERSATION, release: str = "10.0"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *MACHINE, *arguments],
        input=conversation,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=60,
        env=os.environ | {"BACKCHECK_RELEASE": release},
    )


@pytest.fixture(scope="module")
def qemu() -> list[str]:
    program = shutil.which("qemu-system-x86_64")
    if program is None:
        pytest.skip("there is no qemu-system-x86_64 on PATH")
    return [program]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-trace", "nope"],
        ["-trace", "nope*"],
        ["-trace", "foo=bar"],
        ["-trace", "-job_apply_verb"],
        ["-trace", "enable=job_*,file=x"],
        ["-D", "nodir/x"],
        ["-D", "a%s"],
        ["-msg", "foo=on"],
    ],
)
def test_what_is_said_of_bad_options_is_what_qemu_says(qemu: list[str], arguments: list[str], tmp_path: Path) -> None:
    real, ours = (run(program, arguments, tmp_path) for program in (qemu, ENGINE))
    assert ours.returncode == real.returncode

    def told(done: subprocess.CompletedProcess[str]) -> str:
        return re.sub(r"^\S*?: ", "PROGRAM: ", done.stderr, flags=re.MULTILINE)

    assert told(ours) == told(real)


def states_of_a_backup(trace: str) -> list[str]:
    return re.findall(
        r"^job_state_transition job 0x\w+ \(ret: 0\) attempting allowed transition \((.*)\)$", trace, re.M
    )


@pytest.mark.parametrize("is_real", [False, True])
def test_a_backup_tells_its_states_and_chunks(is_real: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    program = request.getfixturevalue("qemu") if is_real else ENGINE
    (tmp_path / "disk.img").write_bytes(bytes([1]) * 65536 + bytes(65536))
    commands = [{"execute": "qmp_capabilities"}, {"execute": "drive-backup", "arguments": BACKUP}]
    traced = [argument for pattern in ("job_*", "block_copy_p*") for argument in ("-trace", pattern)]
    drive = ["-drive", "if=none,id=disk0,file=disk.img,format=raw"]
    arguments = [*traced, "-D", "trace.log", *drive]
    with subprocess.Popen(
        [*program, *MACHINE, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(json.dumps(command) for command in commands))
        process.stdin.flush()
        for line in process.stdout:
            if '"null"' in line:
                break
        process.stdin.write('{"execute": "quit"}')
        process.stdin.close()
        process.stdout.read()
    trace = (tmp_path / "trace.log").read_text()
    assert states_of_a_backup(trace) == [
        "undefined-->created",
        "created-->running",
        "running-->paused",
        "paused-->running",
        "running-->waiting",
        "waiting-->pending",
        "pending-->concluded",
        "concluded-->null",
    ]
    assert re.findall(r"^block_copy_process bcs 0x\w+ start (\d+)$", trace, re.M)[0] == "0"
    assert "applying verb set-speed (allowed)" in trace


def ask(arguments: dict[str, object], command: str, folder: Path, release: str) -> object:
    message = json.dumps({"execute": command, "arguments": arguments})
    conversation = f'{{"execute": "qmp_capabilities"}}{message}{{"execute": "quit"}}'
    lines = run(ENGINE, [], folder, conversation, release).stdout.splitlines()
    return json.loads(lines[2])


def test_states_are_asked_for_and_set(tmp_path: Path) -> None:
    known = ask({"name": "job_*"}, "trace-event-get-state", tmp_path, "10.0")
    assert known == {
        "return": [
            {"name": "job_completed", "state": "disabled"},
            {"name": "job_apply_verb", "state": "disabled"},
            {"name": "job_state_transition", "state": "disabled"},
        ]
    }
    old = ask({"name": "bdrv_co_preadv"}, "trace-event-get-state", tmp_path, "5.2")
    assert old == {"return": [{"name": "bdrv_co_preadv", "state": "disabled", "vcpu": False}]}
    unknown = ask({"name": "nope", "enable": True}, "trace-event-set-state", tmp_path, "10.0")
    assert unknown == {"error": {"class": "GenericError", "desc": 'unknown event "nope"'}}
