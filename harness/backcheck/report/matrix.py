"""The matrix: a static page of implementations and cases, from how each ended last. No script, nothing fetched."""

import html
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from backcheck.catalogue import Catalogue
from backcheck.definition import CaseDefinition
from backcheck.errors import UsageError
from backcheck.golden.golden_file import read_golden
from backcheck.golden.guards import ENGINE, release_number
from backcheck.running.judgement import Judgement
from backcheck.running.results import LastRun, Results

PAGE_NAME = "report.html"

# How a cell reads and which colour it has.
_CELLS: dict[Judgement, tuple[str, str]] = {
    Judgement.PASSED: ("pass", "good"),
    Judgement.SKIPPED: ("–", "none"),  # noqa: RUF001  # a dash in a table, not a minus
    Judgement.EXPECTED: ("xfail", "known"),
    Judgement.DIFFERS: ("differs", "bad"),
    Judgement.NO_GOLDEN: ("no golden", "bad"),
    Judgement.FAILED: ("fails", "bad"),
    Judgement.BROKEN: ("broken", "bad"),
    Judgement.UNEXPECTED: ("xpass", "bad"),
    Judgement.CRASHED: ("crash", "worst"),
    Judgement.HUNG: ("hung", "worst"),
}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --head: #8882; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: Canvas; }
td.run { text-align: center; white-space: nowrap; }
td.run span { display: block; font-size: .72rem; opacity: .65; }
.good { background: #2a93; } .known { background: #fa03; } .bad { background: #d335; } .worst { background: #d338; }
.number { font-family: ui-monospace, monospace; } .rules { font-size: .8rem; opacity: .7; }
.totals td { font-weight: 600; background: var(--head); }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """An implementation on one source format."""

    implementation: str
    format: str


def write_matrix(catalogue: Catalogue, results: Results, path: Path | None = None) -> Path:
    """Writes the page and returns where. Raises UsageError when nothing has run yet or it cannot be written."""
    history = results.history()
    if not history:
        raise UsageError(f"there are no results in {results.folder}: `backcheck run` first")
    page = render_matrix(catalogue.definitions(), history, _confirmed(catalogue), time.time())
    if path is None:
        return results.write(PAGE_NAME, page)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the report cannot be written: {path}: {error.strerror}") from error
    return path


def render_matrix(
    definitions: Iterable[CaseDefinition], history: Mapping[str, LastRun], confirmed: Mapping[str, str], now: float
) -> str:
    """The page. confirmed: case number -> who confirmed its golden."""
    columns = _columns(history)
    rows = [_row(definition, columns, history, confirmed.get(definition.number, "")) for definition in definitions]
    implementations = Counter(column.implementation for column in columns)
    heads = "".join(f'<th colspan="{count}">{html.escape(name)}</th>' for name, count in implementations.items())
    formats = "".join(f"<th>{column.format}</th>" for column in columns)
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Backcheck</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>Backcheck: cases and implementations</h1>\n"
        f"<p>{len(rows)} cases, {len(implementations)} implementations; {when}. A cell tells how the case ended last; "
        "hover over it for the reason.</p>\n<table>\n<thead>\n"
        f'<tr><th rowspan="2">case</th><th rowspan="2">promise</th>{heads}</tr>\n'
        f"<tr>{formats}</tr>\n</thead>\n<tbody>\n"
        + "\n".join([*rows, _totals(columns, history)])
        + "\n</tbody>\n</table>\n</body>\n</html>\n"
    )


def _columns(history: Mapping[str, LastRun]) -> list[_Column]:
    """Every implementation and format that ran, the engine first, then by release."""

    def order(column: _Column) -> tuple[int, tuple[int, ...], str, str]:
        kind, _, release = column.implementation.partition("-")
        number = release_number(release) if release.replace(".", "").isdigit() else ()
        return (0 if kind == ENGINE else 1), number, column.implementation, column.format

    return sorted({_column(id) for id in history}, key=order)


def _column(id: str) -> _Column:
    """Of `112[qemu-7.2-raw]`."""
    implementation, _, format = id.partition("[")[2].rstrip("]").rpartition("-")
    return _Column(implementation=implementation, format=format)


def _row(definition: CaseDefinition, columns: Iterable[_Column], history: Mapping[str, LastRun], confirmed: str) -> str:
    number, title = definition.number, html.escape(definition.title)
    rules = html.escape(" ".join(definition.rules))
    cells = "".join(_cell(history.get(f"{number}[{each.implementation}-{each.format}]")) for each in columns)
    return (
        f'<tr><td class="number" title="confirmed by {html.escape(confirmed or "nobody")}">{number}</td>'
        f'<td>{title}<div class="rules">{rules}</div></td>{cells}</tr>'
    )


def _cell(run: LastRun | None) -> str:
    if run is None:
        return '<td class="run"></td>'
    word, colour = _CELLS[run.judgement]
    return f'<td class="run {colour}" title="{html.escape(run.reason)}">{word}<span>{run.duration_s:.1f} s</span></td>'


def _totals(columns: Iterable[_Column], history: Mapping[str, LastRun]) -> str:
    cells = []
    for column in columns:
        runs = [run for id, run in history.items() if _column(id) == column]
        ran = [run for run in runs if run.judgement is not Judgement.SKIPPED]
        passed = sum(run.judgement.good for run in ran)
        cells.append(f'<td class="run">{passed}/{len(ran)}</td>')
    return f'<tr class="totals"><td></td><td>passed</td>{"".join(cells)}</tr>'


def _confirmed(catalogue: Catalogue) -> dict[str, str]:
    goldens = {number: read_golden(catalogue.golden / f"{number}.out") for number in catalogue.case_files()}
    return {number: ", ".join(golden.header.confirmed) for number, golden in goldens.items() if golden}
