"""I/O limits as arithmetic: what may be limited, and how long a request has to wait for its turn.

Each limit is a bucket that requests fill and that leaks at the limit's average rate; a request may go while the bucket
is not over-full. With a `max`, the bucket is larger, so that for `max_length` seconds a burst at that higher rate gets
through. Nothing here sleeps or knows a clock; times are seconds on whatever clock the caller has.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from backcheck_engine.errors import BlockError

MAX_LIMIT: Final = 10**15
SLACK_S: Final = 0.1
"""A limit without a burst lets through at once what belongs to so long a time."""


class IoDirection(Enum):
    """What limits tell apart."""

    READ = "read"
    WRITE = "write"


KINDS: Final = tuple(f"{unit}-{scope}" for unit in ("bps", "iops") for scope in ("total", "read", "write"))
"""What can be limited: bytes and requests a second."""


class Limit(NamedTuple):
    """One limit, in bytes or requests a second; 0 is none.

    maximum: the rate of a burst, 0 for no bursts; max_length: its seconds.
    """

    average: int = 0
    maximum: int = 0
    max_length: int = 1


class ThrottleLimits:
    """All limits by kind, and the size in bytes from which on a request counts as several (0: never)."""

    __slots__ = ("_limits", "iops_size")

    def __init__(self, limits: Mapping[str, Limit] | None = None, *, iops_size: int = 0) -> None:
        given = limits or {}
        self._limits: Final = {kind: given.get(kind, Limit()) for kind in KINDS}
        self.iops_size: Final = iops_size

    def __getitem__(self, kind: str) -> Limit:
        return self._limits[kind]

    def is_any(self) -> bool:
        """Whether something is limited."""
        return any(limit.average for limit in self._limits.values())

    def as_qapi(self) -> dict[str, int]:
        """ThrottleLimits of QAPI."""
        members = {"iops-size": self.iops_size}
        for kind, limit in self._limits.items():
            members |= {kind: limit.average, f"{kind}-max": limit.maximum, f"{kind}-max-length": limit.max_length}
        return members

    @classmethod
    def from_qapi(cls, members: Mapping[str, int], base: ThrottleLimits | None = None) -> ThrottleLimits:
        """The limits with these members changed. Raises BlockError in QEMU's words when they contradict themselves."""
        known = (base or cls()).as_qapi()
        if unknown := [name for name in members if name not in known]:
            raise BlockError(f"Parameter '{unknown[0]}' is unexpected")
        known |= members
        limits = {
            kind: Limit(average=known[kind], maximum=known[f"{kind}-max"], max_length=known[f"{kind}-max-length"])
            for kind in KINDS
        }
        made = cls(limits, iops_size=known["iops-size"])
        made._check()
        return made

    def _check(self) -> None:
        for unit in ("bps", "iops"):
            total, read, write = (self._limits[f"{unit}-{scope}"] for scope in ("total", "read", "write"))
            if (total.average and (read.average or write.average)) or (
                total.maximum and (read.maximum or write.maximum)
            ):
                raise BlockError("bps/iops/max total values and read/write values cannot be used at the same time")
        if self.iops_size and not any(self._limits[kind].average for kind in KINDS if kind.startswith("iops")):
            raise BlockError("iops size requires an iops value to be set")
        for limit in self._limits.values():
            _check_limit(limit)


def _check_limit(limit: Limit) -> None:
    if not (0 <= limit.average <= MAX_LIMIT and 0 <= limit.maximum <= MAX_LIMIT):
        raise BlockError(f"bps/iops/max values must be within [0, {MAX_LIMIT}]")
    if not limit.max_length:
        raise BlockError("the burst length cannot be 0")
    if limit.max_length > 1 and not limit.maximum:
        raise BlockError("burst length set without burst rate")
    if limit.maximum and limit.max_length > MAX_LIMIT // limit.maximum:
        raise BlockError("burst length too high for this burst rate")
    if limit.maximum and not limit.average:
        raise BlockError("bps_max/iops_max require corresponding bps/iops values")
    if limit.maximum and limit.maximum < limit.average:
        raise BlockError("bps_max/iops_max cannot be lower than bps/iops")


class _Bucket:
    """How full one limit is, and, for a burst longer than a second, how full at the burst's own rate."""

    __slots__ = ("burst_level", "level", "limit")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.level = 0.0
        self.burst_level = 0.0

    def leak(self, seconds: float) -> None:
        self.level = max(0.0, self.level - self.limit.average * seconds)
        self.burst_level = max(0.0, self.burst_level - self.limit.maximum * seconds)

    def fill(self, units: float) -> None:
        self.level += units
        if self.limit.max_length > 1:
            self.burst_level += units

    def wait_s(self) -> float:
        limit = self.limit
        if not limit.average:
            return 0.0
        size = limit.maximum * limit.max_length if limit.maximum else limit.average * SLACK_S
        if self.level > size:
            return (self.level - size) / limit.average
        if limit.max_length > 1 and self.burst_level > limit.maximum * SLACK_S:
            return (self.burst_level - limit.maximum * SLACK_S) / limit.maximum
        return 0.0


class Throttle:
    """The state of one set of limits."""

    def __init__(self, limits: ThrottleLimits, now: float) -> None:
        self.limits = limits
        self._buckets = {kind: _Bucket(limits[kind]) for kind in KINDS}
        self._leaked_at = now

    def configure(self, limits: ThrottleLimits, now: float) -> None:
        """Other limits from now on, with nothing used of them yet."""
        self.limits = limits
        self._buckets = {kind: _Bucket(limits[kind]) for kind in KINDS}
        self._leaked_at = now

    def wait_s(self, direction: IoDirection, now: float) -> float:
        """Seconds until the next request may go; 0.0 when it may now."""
        seconds, self._leaked_at = now - self._leaked_at, now
        for bucket in self._buckets.values():
            bucket.leak(max(0.0, seconds))
        return max(bucket.wait_s() for bucket in self._of(direction))

    def account(self, direction: IoDirection, length: int) -> None:
        """Count a request of `length` bytes that goes now."""
        requests = 1.0
        if self.limits.iops_size and length > self.limits.iops_size:
            requests = length / self.limits.iops_size
        for bucket, units in zip(self._of(direction), (length, length, requests, requests), strict=True):
            bucket.fill(units)

    def _of(self, direction: IoDirection) -> list[_Bucket]:
        scopes = ("total", direction.value)
        return [self._buckets[f"{unit}-{scope}"] for unit in ("bps", "iops") for scope in scopes]
