"""The release of QEMU whose behaviour the engine shows.

What differs between releases is data keyed by `Release`; the code that needs it asks `current()`. The environment
variable BACKCHECK_RELEASE chooses among the releases that were observed; argv stays QEMU's.
"""

from __future__ import annotations

import functools
import os
from typing import Final

from backcheck_engine.errors import OptionError

ENVIRONMENT_VARIABLE: Final = "BACKCHECK_RELEASE"


@functools.total_ordering
class Release:
    """A release of QEMU, "major.minor", ordered by number: `Release("9.1") < Release("10.0")`."""

    __slots__ = ("_key", "name")

    def __init__(self, name: str) -> None:
        major, minor = name.split(".")
        self.name: Final = name
        self._key: Final = (int(major), int(minor))

    @property
    def major(self) -> int:
        return self._key[0]

    @property
    def minor(self) -> int:
        return self._key[1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Release) and self._key == other._key

    def __lt__(self, other: Release) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Release({self.name!r})"


QEMU_5_2: Final = Release("5.2")
QEMU_7_2: Final = Release("7.2")
QEMU_10_0: Final = Release("10.0")
QEMU_11_1: Final = Release("11.1")

OBSERVED: Final = (QEMU_5_2, QEMU_7_2, QEMU_10_0, QEMU_11_1)
DEFAULT: Final = QEMU_10_0


@functools.cache
def current() -> Release:
    """The release to imitate, read once from the environment; an empty variable is one that is not set.

    Raises OptionError when the variable names a release that was not observed.
    """
    name = os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT.name
    for release in OBSERVED:
        if release.name == name:
            return release
    known = ", ".join(release.name for release in OBSERVED)
    raise OptionError(f"{ENVIRONMENT_VARIABLE}={name}: no such release, choose one of {known}")
