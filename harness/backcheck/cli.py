"""The command line: `backcheck run | list | new | review | rules | renumber | report`.

Options here, work elsewhere. Exit status: 0 all passed, 1 something differs, 2 usage, 3 an implementation crashed or
hung, 130 interrupted.
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

EXIT_OK = 0
EXIT_DIFFERS = 1
EXIT_USAGE = 2
EXIT_CRASHED = 3
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130

Command: TypeAlias = "Callable[[argparse.Namespace], int]"

_EPILOG = """\
examples:
  backcheck run                              all cases on the bundled engine
  backcheck run 001 100-120 --on qemu        some cases on the QEMU on PATH
  backcheck run -g quick -raw -n 4           a group, raw sources only, four at once
  backcheck run --on engine --on ./qemu-system-x86_64 -- --junitxml=out.xml

exit status: 0 all passed, 1 something differs, 2 usage, 3 an implementation crashed or hung"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status."""
    _open_closed_streams()
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output is gone; Python would complain on its way out
        return EXIT_OK
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"backcheck: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python still holds when it ends
        return EXIT_USAGE


def _open_closed_streams() -> None:
    """Opens standard streams that whoever started us has closed; else the next files opened would take their place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115  # the program's own, to its end
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115


def _run(given: list[str]) -> int:
    own, pytest_options = _split(given)
    options = _parser().parse_args(own)
    if sys.platform != "linux":
        print(f"backcheck: runs on Linux only, this is {sys.platform}", file=sys.stderr)
        return EXIT_USAGE
    if pytest_options and options.name != "run":
        print(f"backcheck: '--' is for the options of pytest, which {options.name} does not run", file=sys.stderr)
        return EXIT_USAGE
    options.pytest_options = pytest_options
    from backcheck.errors import HarnessError

    command: Command = options.command
    try:
        return command(options)
    except HarnessError as error:
        print(f"backcheck: {error}", file=sys.stderr)
        return EXIT_USAGE


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before `--`, and after it."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    from backcheck import commands

    parser = argparse.ArgumentParser(
        prog="backcheck",
        description="Numbered cases for QEMU's drive-backup, run on a bundled engine and on any QEMU.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(dest="name", metavar="COMMAND", required=True)

    def add(name: str, command: Command, help: str) -> argparse.ArgumentParser:
        subparser = subparsers.add_parser(
            name,
            help=help,
            description=f"{help[0].upper()}{help[1:]}.",
            epilog=_EPILOG if name == "run" else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        subparser.set_defaults(command=command)
        return subparser

    _add_run_options(add("run", commands.run, "run cases and compare their answers with the goldens"))
    _add_selection(add("list", commands.list_cases, "list the cases"))
    _add_new_options(add("new", commands.new, "make a commented case file with the next free number"))
    _add_review_options(add("review", commands.review, "show and accept what runs propose for the goldens"))
    _add_rules_options(add("rules", commands.rules, "print each rule with the cases that verify it"))
    renumber = add("renumber", commands.renumber, "give a case and its golden another number")
    renumber.add_argument("old", metavar="OLD", help="its number now")
    renumber.add_argument("new", metavar="NEW", help="a number that is free")
    report = add("report", commands.report, "write a page of implementations and cases, from the last results")
    _add_results(report)
    report.add_argument("-o", "--output", metavar="FILE", help="where the page goes (RESULTS/report.html)")
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from backcheck.commands import version

        print(f"backcheck {version()}")
        parser.exit()


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("numbers", nargs="*", metavar="NNN", help="a number, or a range as 100-120 (all cases)")
    parser.add_argument(
        "-g", "--group", action="append", default=[], metavar="GROUP", help="only cases of this group; may be repeated"
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    from backcheck.running.results import DEFAULT_FOLDER

    parser.add_argument(
        "--results", metavar="DIR", default=DEFAULT_FOLDER, help=f"the folder of results (./{DEFAULT_FOLDER})"
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    _add_selection(parser)
    for format in ("qcow2", "raw"):
        parser.add_argument(
            f"-{format}",
            dest="formats",
            action="append_const",
            const=format,
            default=[],
            help=f"only with {format} sources",
        )
    parser.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="IMPLEMENTATION",
        help="engine (default), qemu (on PATH), qemu-RELEASE as qemu-5.2 (in the cache), engine-RELEASE, "
        "or the path of a qemu-system program; may be repeated",
    )
    parser.add_argument(
        "--skip-missing", action="store_true", help="do without an implementation that is not there, and say so"
    )
    parser.add_argument("-n", dest="workers", default="1", metavar="N", help="run N cases at once, or `auto` (1)")
    _add_results(parser)
    parser.add_argument(
        "--timeout", type=float, metavar="S", help="the time limit of a case, in seconds (the case's own)"
    )
    parser.add_argument("--wrapper", metavar="COMMAND", help="put before the system program, as 'gdb --args'")
    parser.add_argument(
        "--expect-fail", metavar="FILE", help="cases known to fail: lines as '112[qemu-7.2-raw] reason'"
    )


def _add_new_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "title", metavar="TITLE", help="what the case promises, as 'a cancelled backup frees its target'"
    )
    parser.add_argument("--number", metavar="NNN", help="a number that is free (the next one)")


def _add_review_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("numbers", nargs="*", metavar="NNN", help="cases to review (all that differ)")
    _add_results(parser)
    parser.add_argument("-y", "--accept", action="store_true", help="accept all that is shown, without asking")
    parser.add_argument("--unconfirmed", metavar="REASON", help="why no QEMU can confirm the answer")


def _add_rules_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="RULE", help="a rule, as EVT-02, or a family, as EVT (all)")
    parser.add_argument("--uncovered", action="store_true", help="only rules without a case")
    parser.add_argument(
        "--check", action="store_true", help="fail when more rules than cases/limits.toml allows have no case"
    )


if __name__ == "__main__":
    sys.exit(main())
