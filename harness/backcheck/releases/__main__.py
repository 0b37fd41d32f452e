"""The command line of the cache: ``python -m backcheck.releases [RELEASE ...]`` fetches what is not there yet."""

import argparse
import re
import sys
from collections.abc import Sequence

from backcheck.releases import WANTED_RELEASES, fetch


def release_number(text: str) -> str:
    """An argument as a release; argparse's error when it is none."""
    if re.fullmatch(r"\d+\.\d+", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a release such as 10.0")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch what is asked for; exit status 1 when one of them cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m backcheck.releases", description="Unpack QEMU releases into the cache, once."
    )
    parser.add_argument("release", nargs="*", type=release_number, help=f"default: {' '.join(WANTED_RELEASES)}")
    wanted = parser.parse_args(arguments).release or WANTED_RELEASES
    return 1 if fetch(wanted, lambda line: print(line, flush=True)) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
