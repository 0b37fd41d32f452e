"""How far the work is, on one line that is written over again; for tools that were called with -p."""

from backcheck_engine.tools.program import Program


class Progress:
    """Prints a share of 100 per cent, whenever it has grown by more than `step`; silent unless `enabled`."""

    def __init__(self, program: Program, *, enabled: bool, step: float = 1.0) -> None:
        self._program = program
        self._enabled = enabled
        self._step = step
        self._printed = -1.0
        self.show(0, 1)

    def show(self, done: int, total: int) -> None:
        """`done` of `total` bytes are behind us."""
        percentage = 100.0 * done / total if total else 100.0
        is_worth_it = percentage - self._printed > self._step or percentage in (0.0, 100.0)
        if self._enabled and is_worth_it:
            self._printed = percentage
            self._program.write(f"    ({percentage:3.2f}/100%)\r")
            self._program.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._enabled:
            self._program.write("\n")
