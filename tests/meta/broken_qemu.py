"""A program with QEMU's command line that can be wrong in many ways: its own name says in which.

qemu-system-good         answers query-name with {"name": "vm"}, query-version, and quit
qemu-system-differs      answers query-name with another name
qemu-system-crashes      aborts when it is asked for its name
qemu-system-exits        exits with status 3 when it is asked for its name
qemu-system-hangs        never answers query-name
qemu-system-silent       never greets
qemu-system-refuses      complains about its command line and exits with status 1
qemu-system-garbles      answers query-name with what is not JSON
qemu-system-lingers      answers everything, also quit, and never ends
…-9.1                    any of them, of that release; 10.0 without
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

FOREVER_S = 3600


def main() -> None:
    behaviour, _, release = Path(sys.argv[0]).name.removeprefix("qemu-system-").partition("-")
    release = release or "10.0"
    if "--version" in sys.argv:
        print(f"QEMU emulator version {release}.0")
        return
    if behaviour == "refuses":
        sys.exit("qemu-system-refuses: -chardev: this build has no character devices")
    if behaviour == "silent":
        time.sleep(FOREVER_S)
    with socket.socket(fileno=3) as monitor, contextlib.suppress(ConnectionError):
        serve(monitor, behaviour, [int(part) for part in release.split(".")])


def serve(monitor: socket.socket, behaviour: str, release: list[int]) -> None:
    """Greets and answers until `quit`."""
    version = {"qemu": {"major": release[0], "minor": release[1], "micro": 0}, "package": ""}
    send(monitor, {"QMP": {"version": version, "capabilities": []}})
    decoder, text = json.JSONDecoder(), ""
    while data := monitor.recv(65536):
        text += data.decode()
        while text.strip():
            try:
                message, end = decoder.raw_decode(text.lstrip())
            except ValueError:
                break
            text = text.lstrip()[end:]
            command = message["execute"]
            if command == "query-name":
                misbehave(monitor, behaviour)
            answers = {
                "query-name": {"name": "other" if behaviour == "differs" else "vm"},
                "query-version": version,
                "query-commands": [{"name": "query-name"}],
            }
            if behaviour != "hangs" or command != "query-name":
                send(monitor, {"return": answers.get(command, {}), "id": message.get("id")})
            if command == "quit":
                if behaviour == "lingers":
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    time.sleep(FOREVER_S)
                return


def misbehave(monitor: socket.socket, behaviour: str) -> None:
    """Does what goes wrong when it is asked for its name."""
    if behaviour == "crashes":
        print("broken_qemu: assertion failed: name != NULL", file=sys.stderr, flush=True)
        os.abort()
    if behaviour == "exits":
        sys.exit(3)
    if behaviour == "garbles":
        monitor.sendall(b'{"return": nonsense}\r\n')


def send(monitor: socket.socket, message: dict[str, object]) -> None:
    monitor.sendall(json.dumps(message).encode() + b"\r\n")


if __name__ == "__main__":
    main()
