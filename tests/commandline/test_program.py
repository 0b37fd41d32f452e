"""The program as a whole: help, daemon, pid file, exit statuses, bugs, and how fast it greets."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backcheck_engine.commandline.table import OPTIONS, shown_in
from backcheck_engine.release import QEMU_10_0
from tests.monitor.program import DEADLINE_S, ENGINE, connect, engine_environment, peer


def run(*arguments: str, release: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ENGINE, *arguments], capture_output=True, text=True, env=engine_environment(release), timeout=60, check=False
    )


@pytest.mark.parametrize("release", ["5.2", "7.2", "10.0", "11.1"])
def test_version(release: str) -> None:
    done = run("--version", release=release)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"QEMU emulator version {release}.0 (backcheck-engine)"


def test_an_empty_release_is_none_at_all() -> None:
    assert run("--version", release="").stdout.startswith("QEMU emulator version 10.0.0 ")


def test_unknown_release() -> None:
    done = run("--version", release="6.6")
    assert done.returncode == 1
    assert (
        done.stderr == "backcheck-engine: BACKCHECK_RELEASE=6.6: no such release, choose one of 5.2, 7.2, 10.0, 11.1\n"
    )


def test_help_lists_every_option_that_does_something() -> None:
    done = run("--help")
    assert done.returncode == 0
    shown = {line.split()[0].lstrip("-") for line in done.stdout.splitlines() if line.startswith("-")}
    assert shown == {option.name for option in shown_in(QEMU_10_0)}
    assert shown <= set(OPTIONS)


@pytest.mark.parametrize(
    ("option", "heading", "line"),
    [
        ("-machine", "Supported machines are:", "none                 empty machine"),
        ("-accel", "Accelerators supported in QEMU binary:", "tcg"),
        ("-device", "Storage devices:", 'name "virtio-blk-pci", bus PCI'),
        ("-chardev", "Available chardev backend types: ", "  socket"),
        ("-object", "List of user creatable objects:", "  throttle-group"),
    ],
)
def test_help_of_an_option(option: str, heading: str, line: str) -> None:
    done = run(option, "help")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, lines[0]) == (0, "", heading)
    assert line in lines


def test_daemon(tmp_path: Path) -> None:
    """The parent ends when the daemon is ready; the socket and the pid file are there by then."""
    done = run(
        "-machine", "none", "-daemonize", "-pidfile", f"{tmp_path}/pid", "-qmp", f"unix:{tmp_path}/q,server=on,wait=off"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    process = int((tmp_path / "pid").read_text())
    try:
        with connect(tmp_path / "q") as client:
            monitor = peer(client)
            monitor.negotiate()
            assert os.readlink(f"/proc/{process}/fd/0") == os.devnull
            client.sendall(b'{"execute": "quit"}')
            assert {monitor.message().get("event"), monitor.message().get("event")} == {"SHUTDOWN", None}
            assert monitor.line() == b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def test_daemon_reports_errors_through_its_parent(tmp_path: Path) -> None:
    done = run("-machine", "none", "-daemonize", "-drive", "if=none,file=/nonexistent/image,format=raw")
    assert done.returncode == 1
    assert done.stderr.endswith("Could not open '/nonexistent/image': No such file or directory\n")


def test_pidfile_is_locked_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    options = ["-machine", "none", "-S", "-pidfile", str(path), "-qmp", "stdio"]
    with subprocess.Popen([*ENGINE, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        assert path.read_text() == f"{process.pid}\n"
        second = run(*options)
        assert second.returncode == 1
        assert "cannot create PID file: Cannot lock pid file" in second.stderr
        process.stdin.write(b'{"execute": "qmp_capabilities"}{"execute": "quit"}')
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0
    assert not path.exists()


def test_a_bug_ends_in_one_line_that_names_a_file(tmp_path: Path) -> None:
    """Provoked by a handler that raises what no handler may raise."""
    script = (
        "import sys\n"
        "from backcheck_engine import __main__\n"
        "from backcheck_engine.monitor import registry, introspection\n"
        "async def broken(context, members): raise ZeroDivisionError('a bug')\n"
        "registry._handlers['query-name'] = broken\n"
        "sys.argv[0] = 'backcheck-engine'\n"
        "sys.exit(__main__.main(['-machine', 'none', '-qmp', 'stdio']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input='{"execute": "qmp_capabilities"}{"execute": "query-name"}',
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 70
    (report,) = tmp_path.glob("backcheck-bug-*.txt")
    assert done.stderr == f"backcheck-engine: bug: ZeroDivisionError: a bug: see {report}\n"
    assert "in broken" in report.read_text()


def test_stdout_of_hmp_goes_between_messages(tmp_path: Path) -> None:
    """What `qemu-io` prints is on standard output before the reply, also when a monitor is there too."""
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    arguments = ["-machine", "none", "-S", "-drive", "if=none,id=d,file=disk,format=raw", "-qmp", "stdio"]
    commands = [
        {"execute": "qmp_capabilities"},
        {"execute": "human-monitor-command", "arguments": {"command-line": 'qemu-io d "write -P 3 0 4k"'}},
        {"execute": "quit"},
    ]
    done = subprocess.run(
        [*ENGINE, *arguments],
        input="".join(json.dumps(command) for command in commands),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=True,
    )
    lines = [line.split(",")[0] for line in done.stdout.splitlines()]
    assert lines[2:5] == ["wrote 4096/4096 bytes at offset 0", "4 KiB", '{"return": ""}']
    assert (tmp_path / "disk").read_bytes()[:4096] == b"\3" * 4096
