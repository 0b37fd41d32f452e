"""The results folder: what a run leaves, what survives the next one, and what a broken file does."""

import contextlib
import json
from pathlib import Path

import pytest

from backcheck.errors import UsageError
from backcheck.golden.guards import Context
from backcheck.report.matrix import render_matrix
from backcheck.running.judgement import Judgement, Record
from backcheck.running.results import Results, read_answer

AT = Context(implementation="qemu-7.2", release="7.2", format="raw")


def record(**more: object) -> Record:
    values = {
        "number": "112",
        "slug": "x",
        "implementation": "qemu-7.2",
        "release": "7.2",
        "format": "raw",
        "judgement": Judgement.PASSED,
        "duration_s": 0.5,
        "answer": "-> stop\n<- {}\n",
        "case_digest": "d1",
        "difference": ("- a", "+ b"),
    }
    return Record(**{**values, **more})  # type: ignore[arg-type]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")


def test_a_record_survives_json() -> None:
    assert Record.from_json(json.loads(json.dumps(record().to_json()))) == record()
    assert record().id == "112[qemu-7.2-raw]"


def test_a_run_is_a_record_a_line_and_then_the_whole(results: Results) -> None:
    results.write_run([record(), record(format="qcow2")], {"total": 2})
    *lines, whole = map(json.loads, (results.folder / "results.jsonl").read_text().splitlines())
    assert [line["id"] for line in lines] == ["112[qemu-7.2-raw]", "112[qemu-7.2-qcow2]"]
    assert whole == {"total": 2}


def test_records_can_be_read_while_a_run_goes_on(results: Results) -> None:
    results.write_run([record()], {"total": 1})
    before = (results.folder / "results.jsonl").read_text()
    lines = results.begin()
    assert (results.folder / "results.jsonl").read_text() == before
    lines.add(record(format="qcow2"))
    [line] = (results.folder / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "112[qemu-7.2-qcow2]"
    lines.close()
    results.begin().close()
    assert not list(results.folder.glob(".new-*"))


def test_history_keeps_what_did_not_run_now(results: Results) -> None:
    results.write_run([record()], {})
    results.write_run([record(format="qcow2", judgement=Judgement.CRASHED, reason="SIGSEGV", duration_s=1.25)], {})
    history = results.history()
    assert history["112[qemu-7.2-raw]"].judgement is Judgement.PASSED
    last = history["112[qemu-7.2-qcow2]"]
    assert (last.judgement, last.reason, last.duration_s) == (Judgement.CRASHED, "SIGSEGV", 1.25)


def test_answers_gather_until_the_case_changes(results: Results) -> None:
    results.write_run([record()], {})
    results.write_run([record(format="qcow2", answer="-> cont\n")], {})
    assert len(results.answers("112", "d1")) == 2
    assert results.answers("112", "d1")[AT] == read_answer("-> stop\n<- {}\n", "test")
    results.write_run([record(case_digest="d2")], {})
    assert list(results.answers("112", "d2")) == [AT]
    assert results.answers("112", "d1") == {}


def test_a_run_without_an_answer_takes_the_older_one_away(results: Results) -> None:
    results.write_run([record()], {})
    results.write_run([record(answer=None, judgement=Judgement.CRASHED)], {})
    assert results.answers("112", "d1") == {}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"x": 5}', '{"x": {"judgement": "new"}}'])
def test_a_history_that_cannot_be_read_is_none(results: Results, text: str) -> None:
    results.write("history.json", text)
    results.write("answers/112.json", text)
    assert results.history() == {}
    assert results.answers("112", "d1") == {}
    results.write_run([record()], {})
    assert len(results.history()) == len(results.answers("112", "d1")) == 1


def test_what_is_written_is_as_readable_as_any_new_file(results: Results, tmp_path: Path) -> None:
    (tmp_path / "any").write_text("")
    usual = (tmp_path / "any").stat().st_mode
    with contextlib.closing(results.begin()) as lines:
        lines.add(record())
        assert {path.stat().st_mode for path in results.folder.iterdir()} == {usual}
    results.write_run([record()], {})
    assert {path.stat().st_mode for path in results.folder.rglob("*.json*")} == {usual}


def test_candidates_come_and_go(results: Results) -> None:
    results.write_candidate("112", None)
    results.write_candidate("112", "case 112 x\n")
    assert results.candidate("112").read_text() == "case 112 x\n"
    results.write_candidate("112", None)
    assert not results.candidate("112").exists()


def test_evidence_is_kept_without_sockets_and_in_place_of_the_older(results: Results, tmp_path: Path) -> None:
    import socket

    workdir = tmp_path / "w"
    (workdir / "deep").mkdir(parents=True)
    (workdir / "deep" / "log").write_text("first")
    (workdir / "dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(workdir / "qmp"))
        kept = results.keep_evidence(workdir, "112[x-raw]")
    assert sorted(path.name for path in kept.iterdir()) == ["dangling", "deep"]
    (workdir / "deep" / "log").write_text("second")
    assert (results.keep_evidence(workdir, "112[x-raw]") / "deep" / "log").read_text() == "second"


def test_what_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (lambda results: results.write("x", ""), lambda results: results.keep_evidence(tmp_path, "x")):
        with pytest.raises(UsageError):
            write(Results(tmp_path / "file"))


def test_the_matrix_escapes_what_it_shows_and_orders_columns(results: Results) -> None:
    runs = [record(implementation=name, reason="<b>") for name in ("qemu-10.0", "engine", "qemu-7.2")]
    results.write_run(runs, {})
    page = render_matrix([], results.history(), {}, 0.0)
    assert page.index(">engine</th>") < page.index(">qemu-7.2</th>") < page.index(">qemu-10.0</th>")
    assert "<b>" not in page
