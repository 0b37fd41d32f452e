"""How fast a job may copy: a quota of bytes for each slice of time, as QEMU paces its jobs.

Pure arithmetic on a clock that the caller passes in; whoever has to wait sleeps by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.1


class RateLimit:
    """Bytes are charged when work starts; the first charge of a slice always goes through, however large.

    A charge that exceeds the quota of its slice stretches the slice, so that over time the speed is kept exactly.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._quota = 0
        self._charged = 0
        self._slice_start = 0.0
        self._slice_end = 0.0

    def set_speed(self, speed: int) -> None:
        """Allow `speed` bytes a second from now on; 0 is no limit. What this slice was charged stays charged."""
        self._quota = max(1, int(speed * SLICE_S)) if speed else 0

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._quota > 0

    def charge(self, length: int) -> None:
        """Count `length` bytes as copied."""
        if self.is_limited:
            self._enter_slice()
            self._charged += length
            self._stretch_slice()

    def delay_s(self) -> float:
        """Seconds until more may be copied; 0.0 when it may now."""
        if not self.is_limited:
            return 0.0
        now = self._enter_slice()
        if self._charged < self._quota:
            return 0.0
        self._stretch_slice()
        return max(0.0, self._slice_end - now)

    def _stretch_slice(self) -> None:
        """A slice that was charged more than its quota is over when that would have been allowed."""
        if self._charged >= self._quota:
            self._slice_end = self._slice_start + self._charged / self._quota * SLICE_S

    def _enter_slice(self) -> float:
        """Begin a new slice when the current one is over; the time now."""
        now = self._clock()
        if now >= self._slice_end:
            self._slice_start, self._slice_end, self._charged = now, now + SLICE_S, 0
        return now
