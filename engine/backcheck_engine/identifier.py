"""The names that QEMU takes for nodes, jobs, devices and objects."""

import re

_WELL_FORMED = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*", re.ASCII)


def is_identifier(name: str) -> bool:
    """Whether `name` begins with a letter and goes on with letters, digits, `-`, `.` and `_`."""
    return _WELL_FORMED.fullmatch(name) is not None
