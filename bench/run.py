"""The bundled engine beside the installed QEMU, measured in one run: ``python -m bench.run``.

Runs of both alternate, medians are compared, and each result stands beside its target. The table goes to standard
output, everything measured to a JSON file. `samples` are how many of each: QEMU serves few guest writes while an
unlimited backup keeps it busy. Times mean something on an idle machine, and ratios on any. Needs qemu-img
and qemu-io, and about 4 GiB in the folder that it works in.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.contestant import bundled_engine, installed_qemu
from bench.parts import PARTS, Bench
from bench.session import SessionError
from bench.table import Row, heading, render, to_json

ROUNDS = 5


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Measure the engine beside a QEMU.")
    parser.add_argument("part", nargs="*", help=f"what to measure, of: {' '.join(PARTS)} (default: all)")
    parser.add_argument("--qemu", metavar="PROGRAM", help="a qemu-system program (default: the installed one)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"runs of each (default: {ROUNDS})")
    parser.add_argument("--folder", metavar="DIR", help="where images are made and removed")
    parser.add_argument("--json", metavar="FILE", default="bench-results.json", help="default: %(default)s")
    options = parser.parse_args(arguments)
    unknown = [part for part in options.part if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}, choose of: {', '.join(PARTS)}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; exit status 1 when something could not be measured."""
    options = read_arguments(arguments)
    engine, qemu = bundled_engine(), installed_qemu(options.qemu)
    rows: list[Row] = []
    failures: list[str] = []
    print(heading(qemu.name), flush=True)
    for name in options.part or PARTS:
        with tempfile.TemporaryDirectory(prefix="backcheck-bench-", dir=options.folder) as folder:
            bench = Bench(engine=engine, qemu=qemu, folder=Path(folder), rounds=options.rounds)
            try:
                for row in PARTS[name](bench):
                    rows.append(row)
                    print(render(row), flush=True)
            except SessionError as error:
                failures.append(f"{name}: {error}")
                print(f"{name}: not measured: {error}", flush=True)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    results = {"machine": machine, "qemu": qemu.name, "rows": to_json(rows), "failures": failures}
    Path(options.json).write_text(json.dumps(results, indent=2) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
