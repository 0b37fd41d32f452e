"""A program that tells what it sees of itself, run cold and forked from the keeper to see that both see the same."""

import atexit
import json
import os
import signal
import sys
import threading
import time


def tell() -> None:
    """Prints what a program can see of how it was started."""
    descriptors = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    listing = [number for number in descriptors if os.path.exists(f"/proc/self/fd/{number}")]
    facts = {
        "arguments": sys.argv[1:],
        "folder": os.getcwd(),
        "variable": os.environ.get("WITNESS"),
        "names": sorted(name for name in os.environ if name.startswith("WITNESS")),
        "descriptors": listing,
        "leads its session": os.getsid(0) == os.getpid() and os.getpgid(0) == os.getpid(),
        "stdin": sys.stdin.read(),
        "encodings": [sys.stdin.encoding, sys.stdout.encoding, sys.stderr.encoding],
        "stderr errors": sys.stderr.errors,
        "threads": threading.active_count(),
        "main thread": threading.current_thread() is threading.main_thread(),
        "dispositions": {
            number.name: str(signal.getsignal(number))
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)
        },
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "umask": os.umask(0o022),
    }
    print(json.dumps(facts, default=str))


def end_late() -> None:
    """A thread that is not a daemon and a function for the end: the interpreter waits for one and calls the other."""
    atexit.register(lambda: print("at exit"))

    def run() -> None:
        time.sleep(0.05)
        print("thread done")

    threading.Thread(target=run).start()
    print("main done")


def main() -> object:
    """What the first argument says."""
    word = sys.argv[1]
    if word == "tell":
        tell()
    elif word == "late":
        end_late()
    elif word == "return":
        return json.loads(sys.argv[2])
    elif word == "exit":
        sys.exit(json.loads(sys.argv[2]))
    elif word == "raise":
        raise ValueError("raised on purpose")
    elif word == "signal":
        os.kill(os.getpid(), int(sys.argv[2]))
    elif word == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    elif word == "unflushed":
        sys.stdout.write("no newline, not flushed")
        sys.stderr.write("neither \udcff")
    return None


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[arg-type]
