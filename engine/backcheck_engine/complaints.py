"""What parts without a client have to say on stderr: under the program's name, and the option being worked on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_option: Final[ContextVar[str]] = ContextVar("option", default="")


def program_name() -> str:
    """How messages begin: the name under which the program was started."""
    name = os.path.basename(sys.argv[0])
    return "backcheck-engine" if name == "__main__.py" else name


@contextmanager
def working_on(option: str) -> Iterator[None]:
    """Meanwhile, complaints name this option of the command line, as it was given."""
    token = _option.set(option)
    try:
        yield
    finally:
        _option.reset(token)


def complain(text: str, *, end: str = "\n") -> None:
    """Put a message on stderr."""
    option = _option.get()
    print(program_name(), *([option] if option else []), text, sep=": ", end=end, file=sys.stderr, flush=True)
