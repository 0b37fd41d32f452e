"""Runs random programs side by side: `python -m tests.model --seed 1 --programs 20 --on engine --on qemu`.

Each implementation must keep what the model promises, and those of one release must answer alike. What fails is printed
as a case, whole and ready to be added.
"""

import argparse
import random
import sys
import time

from backcheck.errors import UsageError
from backcheck.implementation import find_implementation
from tests.model.programs import programs
from tests.model.running import differences
from tests.model.source import case_source, told


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--programs", type=int, default=20, metavar="N")
    parser.add_argument("--only", type=int, metavar="N", help="only the program of that number")
    parser.add_argument("--on", action="append", metavar="IMPLEMENTATION")
    parser.add_argument("--print", action="store_true", help="print the cases, and run none")
    options = parser.parse_args()
    if options.programs < 1:
        parser.error(f"--programs {options.programs}: give a number of programs, from 1 on")
    if options.only is not None and not 0 <= options.only < options.programs:
        parser.error(f"--only {options.only}: the programs are 0 to {options.programs - 1}")
    try:
        found = [find_implementation(name) for name in options.on or ["engine"]]
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    # A case that is printed is whole without it.
    print(f"seed {options.seed}", file=sys.stderr if options.print else sys.stdout)
    run = failed = 0
    started = time.monotonic()
    for number, program in enumerate(programs(options.seed, options.programs)):
        if options.only is not None and number != options.only:
            continue
        world = told(program)
        if options.print:
            print(case_source(world))
            continue
        run += 1
        if complaints := differences(world, found):
            failed += 1
            print(f"program {number}:", *complaints, case_source(world), sep="\n", flush=True)
    if not options.print:
        print(f"{failed} of {run} failed, {time.monotonic() - started:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
