"""The results folder: what runs leave behind, for people, for CI, and for `review` and `report`.

    backcheck-results/
      results.jsonl       the last run: one record a line as they come, at its end sorted, and a line with the whole
      history.json        id -> how each case ended last, and how long it took
      answers/112.json    the last answer of each implementation and format to the case as it is now
      112.out.new         the golden that these answers make, when the one there is does not fit
      evidence/           a folder for each run of a case that failed

Files are replaced as a whole, so that two runs at once leave one or the other.
"""

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from backcheck.errors import UsageError
from backcheck.golden.golden_file import Answer, AnswerStep, parse_steps
from backcheck.golden.guards import Context
from backcheck.running.judgement import Judgement, Record

DEFAULT_FOLDER = "backcheck-results"
RECORDS_NAME = "results.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """How a case on an implementation and format ended last. `when` is in seconds since the epoch."""

    judgement: Judgement
    duration_s: float
    when: float
    reason: str = ""
    slug: str = ""


class Results:
    """The folder. It is made when something is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def keep_evidence(self, workdir: Path, id: str) -> Path:
        """Copies what a run left behind, sockets apart, in place of what an earlier run of the same id left."""
        target = self.folder / "evidence" / id
        try:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(workdir, target, symlinks=True, ignore=_sockets, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            raise UsageError(f"evidence cannot be kept: {target}: {error}") from error
        return target

    def begin(self) -> "RecordLines":
        """A results.jsonl for a run that begins. Raises UsageError when nothing can be written here."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = _new_file(self.folder)
        except OSError as error:
            raise UsageError(f"results cannot be written: {self.folder}: {error.strerror}") from error
        return RecordLines(file, self.folder / RECORDS_NAME)

    def history(self) -> dict[str, LastRun]:
        """By id, how each ended last; empty when nothing ran yet or the file is of another version."""
        stored = _read_json(self.folder / "history.json")
        if not isinstance(stored, dict):
            return {}
        try:
            return {id: LastRun(**{**run, "judgement": Judgement(run["judgement"])}) for id, run in stored.items()}
        except (TypeError, KeyError, ValueError):
            return {}

    def write_run(self, records: Iterable[Record], whole: Mapping[str, object]) -> None:
        """Writes results.jsonl, and brings history and answers up to date. `whole`: the last line of results.jsonl."""
        records = list(records)
        lines = [*map(_record_line, records), json.dumps(whole)]
        self.write(RECORDS_NAME, "\n".join(lines) + "\n")
        self._write_history(records)
        for number in sorted({record.number for record in records}):
            self._write_answers(number, [record for record in records if record.number == number])

    def write(self, name: str, text: str) -> Path:
        """Replaces a file of the folder as a whole. Raises UsageError when that cannot be."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _new_file(path.parent) as new:
                new.write(text)
            os.replace(new.name, path)
        except OSError as error:
            raise UsageError(f"results cannot be written: {path}: {error.strerror}") from error
        return path

    def candidate(self, number: str) -> Path:
        """Where a golden that a run proposes stands."""
        return self.folder / f"{number}.out.new"

    def write_candidate(self, number: str, text: str | None) -> None:
        """Leaves `NNN.out.new`, or takes it away when there is nothing to propose."""
        if text is None:
            self.candidate(number).unlink(missing_ok=True)
        else:
            self.write(self.candidate(number).name, text)

    def answers(self, number: str, digest: str) -> dict[Context, Answer]:
        """The answers to a case, as its file is now; those to another form of it do not count."""
        return {
            record.context: read_answer(record.answer, record.id)
            for record in self._stored_answers(number, digest)
            if record.answer is not None
        }

    def numbers(self) -> list[str]:
        """The cases that have answers."""
        return sorted(path.stem for path in (self.folder / "answers").glob("*.json"))

    def _stored_answers(self, number: str, digest: str) -> list[Record]:
        stored = _read_json(self.folder / "answers" / f"{number}.json")
        if not isinstance(stored, list):
            return []
        try:
            records = [Record.from_json(values) for values in stored]
        except (TypeError, KeyError, ValueError):
            return []
        return [record for record in records if record.case_digest == digest]

    def _write_answers(self, number: str, records: list[Record]) -> None:
        digest = records[0].case_digest
        by_context = {record.context: record for record in self._stored_answers(number, digest)}
        for record in records:
            if record.answer is None:
                by_context.pop(record.context, None)
            else:
                by_context[record.context] = record
        values = [by_context[context].to_json() for context in sorted(by_context)]
        self.write(f"answers/{number}.json", json.dumps(values, indent=1) + "\n")

    def _write_history(self, records: list[Record]) -> None:
        history = {id: _history_json(run) for id, run in self.history().items()}
        for record in records:
            last = LastRun(
                judgement=record.judgement,
                duration_s=record.duration_s,
                when=time.time(),
                reason=record.reason,
                slug=record.slug,
            )
            history[record.id] = _history_json(last)
        self.write("history.json", json.dumps(history, indent=1, sort_keys=True) + "\n")


class RecordLines:
    """results.jsonl while a run goes on. It takes the place of the last run's with the first record."""

    def __init__(self, file: IO[str], path: Path) -> None:
        self._file = file
        self._path = path
        self._placed = False

    def add(self, record: Record) -> None:
        """Writes one line, for whoever follows the file; a full disk is told at the end of the run."""
        with contextlib.suppress(OSError):
            self._file.write(_record_line(record) + "\n")
            if not self._placed:
                os.replace(self._file.name, self._path)
                self._placed = True

    def close(self) -> None:
        """Leaves the last run's file in place when there was no record."""
        with contextlib.suppress(OSError):
            self._file.close()
        if not self._placed:
            Path(self._file.name).unlink(missing_ok=True)


def _new_file(folder: Path) -> IO[str]:
    """A file of its own in the folder, for a whole that is to be replaced; others may read it, as any new file."""
    return (folder / f".new-{secrets.token_hex(8)}").open("x", buffering=1, encoding="utf-8")


def _record_line(record: Record) -> str:
    return json.dumps({"id": record.id, **record.to_json()})


def read_answer(text: str, where: str) -> Answer:
    """An answer from the text of its steps."""
    return tuple(
        AnswerStep(title=step.title, entries=tuple(entry for line in step.lines for entry in line.line.entries))
        for step in parse_steps(text.split("\n"), where)
    )


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [
        name for name in names if not ((path := Path(folder, name)).is_file() or path.is_dir() or path.is_symlink())
    ]


def _history_json(run: LastRun) -> dict[str, object]:
    return {
        "judgement": run.judgement.value,
        "duration_s": round(run.duration_s, 3),
        "when": run.when,
        "reason": run.reason,
        "slug": run.slug,
    }


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
