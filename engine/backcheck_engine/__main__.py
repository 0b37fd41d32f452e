"""The program `backcheck-engine`. Imports come late here: the first of them makes the others quick."""

import sys


def main(argv: list[str] | None = None) -> int:
    """Run the engine with QEMU's arguments; its exit status."""
    from backcheck_engine import quick_start, standard_streams

    quick_start.begin()
    standard_streams.take_over()
    from backcheck_engine.machine.program import run

    return run(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
