"""What happens when the engine has a bug: one line for the user, a file with the traceback, exit status 70."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from typing import Final, NoReturn

EXIT_STATUS: Final = 70
"""EX_SOFTWARE of sysexits.h."""


def end_with_bug(error: BaseException, program: str) -> NoReturn:
    """Write the traceback to a file, name the file, and end at once, with whatever is open."""
    with tempfile.NamedTemporaryFile("w", prefix="backcheck-bug-", suffix=".txt", delete=False) as file:
        file.writelines(traceback.format_exception(error))
    problem = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    sys.stderr.write(f"{program}: bug: {problem}: see {file.name}\n")
    sys.stderr.flush()
    os._exit(EXIT_STATUS)
