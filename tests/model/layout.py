"""Lines of Python in the layout that `ruff format` gives them, so that a printed case can be added as it is."""

from collections.abc import Iterator

LONGEST = 120
STEP = 4
_OPEN, _CLOSE = "([{", ")]}"


def laid_out(line: str, indent: int) -> list[str]:
    """A statement as lines: one when it fits, else its last brackets opened up."""
    text = f"{' ' * indent}{line}".rstrip()
    start = _last_bracket(line.rstrip(","))
    if len(text) <= LONGEST or start is None:
        return [text]
    comma = "," if line.endswith(",") else ""
    line = line.rstrip(",")
    head, inner, tail = line[: start + 1], line[start + 1 : -1], line[-1] + comma
    inside = f"{' ' * (indent + STEP)}{inner}"
    if len(inside) <= LONGEST:
        body = [inside]
    else:
        body = [part for item in _items(inner) for part in laid_out(f"{item},", indent + STEP)]
    return [f"{' ' * indent}{head}", *body, f"{' ' * indent}{tail}"]


def _last_bracket(line: str) -> int | None:
    """Where the brackets open that close at the end of a line."""
    opened: list[int] = []
    last = None
    for place, character in _outside_strings(line):
        if character in _OPEN:
            opened.append(place)
        elif character in _CLOSE:
            last = (opened.pop(), place)
    return last[0] if last and last[1] == len(line) - 1 else None


def _items(inner: str) -> Iterator[str]:
    """What stands between the commas."""
    depth = start = 0
    for place, character in _outside_strings(inner):
        depth += (character in _OPEN) - (character in _CLOSE)
        if character == "," and depth == 0:
            yield inner[start:place].strip()
            start = place + 1
    yield inner[start:].strip()


def _outside_strings(line: str) -> Iterator[tuple[int, str]]:
    """The characters that are not in a string; no string here has a quote in it."""
    inside = False
    for place, character in enumerate(line):
        if character == '"':
            inside = not inside
        elif not inside:
            yield place, character
