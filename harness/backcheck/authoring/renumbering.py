"""Giving a case another number: its file, its golden, and the number in the golden's header."""

from dataclasses import replace
from pathlib import Path

from backcheck.catalogue import Catalogue
from backcheck.definition import number_and_slug
from backcheck.errors import UsageError
from backcheck.golden.golden_file import read_golden, render_golden

NUMBER_WIDTH = 3
LARGEST_NUMBER = 999_999
"""What `backcheck run NNN` takes."""


def renumber(catalogue: Catalogue, old: str, new: str) -> list[tuple[Path, Path]]:
    """Moves a case's files and returns what went where. Raises UsageError when a number is unknown or taken."""
    files = catalogue.case_files()
    old, new = case_number(old), case_number(new)
    if old not in files:
        raise UsageError(f"there is no case {old}")
    if new in files or (catalogue.golden / f"{new}.out").exists():
        raise UsageError(f"{new} is taken")
    path = files[old]
    number_and_slug(path)
    moves = [(path, path.with_name(path.name.replace(old, new, 1)))]
    golden_path, new_golden_path = catalogue.golden / f"{old}.out", catalogue.golden / f"{new}.out"
    golden = read_golden(golden_path)
    try:
        if golden is not None:
            golden = replace(golden, header=replace(golden.header, number=new))
            new_golden_path.write_text(render_golden(golden), encoding="utf-8")
            golden_path.unlink()
            moves.append((golden_path, new_golden_path))
        path.rename(moves[0][1])
    except OSError as error:
        raise UsageError(f"{old} cannot be moved: {error}") from error
    return moves


def case_number(text: str) -> str:
    """A number as file names have it, `007` of `7`. Raises UsageError."""
    if not text.isdecimal() or not 0 < int(text) <= LARGEST_NUMBER:
        raise UsageError(f"'{text}' is not the number of a case, as 112")
    return f"{int(text):0{NUMBER_WIDTH}d}"
