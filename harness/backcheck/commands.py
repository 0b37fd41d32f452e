"""What each command of the command line does, apart from running cases."""

import argparse
import shutil
import sys
from pathlib import Path

from backcheck.catalogue import find_catalogue
from backcheck.errors import UsageError


def version() -> str:
    """The version of what is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("backcheck")
    except PackageNotFoundError:
        return "(not installed)"


def run(options: argparse.Namespace) -> int:
    """`backcheck run`."""
    from backcheck.running.case_run import run_under_pytest

    return run_under_pytest(find_catalogue(), options)


def list_cases(options: argparse.Namespace) -> int:
    """`backcheck list`: number, formats, title and groups of each case."""
    definitions = find_catalogue().definitions(options.numbers, options.group)
    for definition in definitions:
        groups = f"  [{' '.join(sorted(definition.groups))}]" if definition.groups else ""
        print(f"{definition.number}  {','.join(definition.formats):9}  {definition.title}{groups}")
    print(f"{len(definitions)} cases")
    return 0


def new(options: argparse.Namespace) -> int:
    """`backcheck new`."""
    from backcheck.authoring.case_template import make_case
    from backcheck.catalogue import own_catalogue

    path = make_case(own_catalogue(), options.title, options.number)
    number = path.name.partition("_")[0]
    print(f"wrote {path}")
    print(f"edit it, then: backcheck run {number} --on engine --on qemu; backcheck review {number}")
    return 0


def renumber(options: argparse.Namespace) -> int:
    """`backcheck renumber`."""
    from backcheck.authoring.renumbering import renumber

    catalogue = find_catalogue()
    catalogue.require_own()
    for old, new in renumber(catalogue, options.old, options.new):
        print(f"{old.name} -> {new.name}")
    return 0


def review(options: argparse.Namespace) -> int:
    """`backcheck review`: 0 when nothing is left to accept, else 1."""
    from backcheck.authoring.review import Decision, Pending, pending, review
    from backcheck.running.results import Results

    def ask(each: Pending) -> Decision:
        if options.accept:
            return Decision.ACCEPT
        if not sys.stdin.isatty():
            return Decision.LEAVE
        answers = {"y": Decision.ACCEPT, "n": Decision.LEAVE, "q": Decision.QUIT}
        while True:
            try:
                answer = input(f"accept as the golden of {each.definition.number}? [y/n/q] ").strip().lower()
            except EOFError:
                return Decision.QUIT
            if answer in answers:
                return answers[answer]

    catalogue, results = find_catalogue(), Results(Path(options.results))
    catalogue.require_own()
    if not options.numbers and not results.numbers():
        raise UsageError(f"there are no answers in {results.folder}: `backcheck run` first")
    proposals = pending(catalogue, results, options.numbers, options.unconfirmed)
    if not proposals:
        print("nothing to review: every golden is what the last runs answered")
        return 0
    reviewed = review(catalogue, results, proposals, ask, print)
    print(f"{reviewed.accepted} accepted, {reviewed.left} left")
    if reviewed.left and not options.accept and not sys.stdin.isatty():
        print("nobody was asked, since standard input is no terminal: --accept accepts what is shown")
    return 1 if reviewed.left else 0


def rules(options: argparse.Namespace) -> int:
    """`backcheck rules`: each rule with its cases; 1 when --check finds too many without."""
    from backcheck.report.rule_list import rule_lines, selected_rules
    from backcheck.rules import coverage, read_rules
    from backcheck.running.limits import read_limits

    catalogue = find_catalogue()
    covered = coverage(read_rules(catalogue.rules), catalogue.definitions())
    width = shutil.get_terminal_size((120, 24)).columns
    for rule in selected_rules(covered, options.ids, uncovered=options.uncovered):
        for line in rule_lines(rule, covered, width):
            print(line)
    uncovered = len(covered.uncovered)
    print(f"{len(covered.rules)} rules, {uncovered} without a case")
    allowed = read_limits(catalogue.cases).uncovered_rules
    if options.check and allowed is not None and uncovered > allowed:
        print(f"backcheck: cases/limits.toml allows {allowed} rules without a case", file=sys.stderr)
        return 1
    return 0


def report(options: argparse.Namespace) -> int:
    """`backcheck report`."""
    from backcheck.report.matrix import write_matrix
    from backcheck.running.results import Results

    results = Results(Path(options.results))
    path = write_matrix(find_catalogue(), results, Path(options.output) if options.output else None)
    print(f"wrote {path}")
    return 0
