"""What is done about input that is deprecated or unstable (-compat), with QEMU's words."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

from backcheck_engine.errors import GENERIC_ERROR, QmpError

ACTIONS: Final = ("accept", "reject", "crash")


class InputPolicy(NamedTuple):
    """One of `ACTIONS` for each mark."""

    deprecated: str = "accept"
    unstable: str = "accept"

    def check(self, features: Iterable[str], kind: str, name: str, error_class: str = GENERIC_ERROR) -> None:
        """Refuse what has these marks: a "command", "parameter" or "value" called `name`. Raises QmpError."""
        actions = self._asdict()
        for feature in features:
            action = actions.get(feature, "accept")
            if action == "crash":
                os.abort()
            if action == "reject":
                raise QmpError(error_class, f"{feature.capitalize()} {kind} {name} disabled by policy")
