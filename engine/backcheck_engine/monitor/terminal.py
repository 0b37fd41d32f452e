"""A terminal on standard input, made to hand over every key at once and to echo none, for as long as it is used."""

from __future__ import annotations

import os
import termios
from typing import Any, Final

_INPUT_OFF: Final = (
    termios.IGNBRK
    | termios.BRKINT
    | termios.PARMRK
    | termios.ISTRIP
    | termios.INLCR
    | termios.IGNCR
    | termios.ICRNL
    | termios.IXON
)
_LOCAL_OFF: Final = termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN


class Terminal:
    """The terminal behind a descriptor, if there is one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: Final = descriptor
        self._before: list[Any] | None = None

    def begin(self) -> None:
        """Every key at once, no echo; ^C still interrupts."""
        if not os.isatty(self._descriptor):
            return
        self._before = termios.tcgetattr(self._descriptor)
        settings = termios.tcgetattr(self._descriptor)
        settings[0] &= ~_INPUT_OFF
        settings[1] |= termios.OPOST
        settings[3] &= ~_LOCAL_OFF
        termios.tcsetattr(self._descriptor, termios.TCSANOW, settings)

    def end(self) -> None:
        """As it was before."""
        if self._before is not None:
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)
            self._before = None
