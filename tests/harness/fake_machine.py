"""A program with a QMP monitor on descriptor 3 that misbehaves as its commands say.

It answers `{}` to everything, and besides that: `print` prints lines on stdout before the reply, `events` sends the
events in its arguments before the reply, `job-pause` is late, by a drained section that the job tells of before the
reply, `abort` `exit` `close` `garbage` `silence` do that instead of answering, `quit` ends it.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

MONITOR_DESCRIPTOR = 3
GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}

monitor = socket.socket(fileno=MONITOR_DESCRIPTOR) if "--version" not in sys.argv else None


def send(message: dict[str, Any]) -> None:
    assert monitor is not None
    monitor.sendall(json.dumps(message).encode() + b"\r\n")


def events(arguments: dict[str, Any]) -> None:
    for name, data in arguments["events"]:
        send({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}})


def pause_late(arguments: dict[str, Any]) -> None:
    changes = [("JOB_STATUS_CHANGE", arguments | {"status": status}) for status in ("paused", "running")]
    events({"events": changes})


def print_lines(arguments: dict[str, Any]) -> None:
    print(*arguments["lines"], sep="\n", flush=True)


def abort(_: dict[str, Any]) -> None:
    print("fake-machine: assertion failed", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGABRT)


def leave(arguments: dict[str, Any]) -> None:
    sys.exit(arguments.get("status", 0))


def close(_: dict[str, Any]) -> None:
    assert monitor is not None
    monitor.shutdown(socket.SHUT_RDWR)
    silence(_)


def garbage(_: dict[str, Any]) -> None:
    assert monitor is not None
    monitor.sendall(b"this is not JSON\r\n")
    silence(_)


def silence(_: dict[str, Any]) -> None:
    while True:
        time.sleep(60)


DEEDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "print": print_lines,
    "events": events,
    "job-pause": pause_late,
    "abort": abort,
    "exit": leave,
    "close": close,
    "garbage": garbage,
    "silence": silence,
}


def main() -> None:
    if "--version" in sys.argv:
        print("QEMU emulator version 7.2.0")
        return
    if "-refused" in sys.argv:
        sys.exit("fake-machine: -refused: invalid option")
    assert monitor is not None
    send(GREETING)
    decoder, text = json.JSONDecoder(), ""
    while data := monitor.recv(65536):
        text += data.decode()
        while text:
            message, end = decoder.raw_decode(text)
            text = text[end:].lstrip()
            name = message["execute"]
            DEEDS.get(name, lambda _: None)(message.get("arguments", {}))
            send({"return": {}, "id": message.get("id")} if "id" in message else {"return": {}})
            if name == "quit":
                return


if __name__ == "__main__":
    main()
