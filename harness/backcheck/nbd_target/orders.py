"""What the server has been told to do with requests: an order names requests, and what becomes of them.

The first order that a request fits counts; without one it is carried out and answered at once.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from backcheck.nbd_target.wire import Kind


class Action(Enum):
    """What becomes of a request."""

    HOLD = "hold"
    """Neither carried out nor answered before it is released."""
    FAIL = "fail"
    """Not carried out, answered with an error."""
    DISCONNECT = "disconnect"
    """Not carried out; all connections end, and who connects again is turned away."""
    LIE = "lie"
    """Carried out, and answered as no server may."""


class Lie(Enum):
    """How an answer is wrong."""

    COOKIE = "cookie"
    MAGIC = "magic"
    SHORT = "short"
    """Half of it, then the end of the connection."""


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """An order for requests of these kinds that touch a range; the first `skip` of them it leaves alone.

    length: None for all from `offset` on. times: how many it takes, None for all of them.
    """

    action: Action
    kinds: frozenset[Kind]
    offset: int = 0
    length: int | None = None
    skip: int = 0
    times: int | None = 1
    errno: int = 0
    lie: Lie = Lie.COOKIE
    taken: list[int] = field(default_factory=list)
    """Numbers of the requests that it took."""

    def takes(self, kind: Kind, offset: int, length: int) -> bool:
        """Whether a request is one for it; counts it if so."""
        end = None if self.length is None else self.offset + self.length
        if kind not in self.kinds or offset + max(length, 1) <= self.offset or (end is not None and offset >= end):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            if not self.times:
                return False
            self.times -= 1
        return True


_COOKIE = slice(8, 16)


def _other_cookie(reply: bytes) -> bytes:
    (cookie,) = struct.unpack(">Q", reply[_COOKIE])
    return reply[: _COOKIE.start] + struct.pack(">Q", cookie ^ 1 << 63) + reply[_COOKIE.stop :]


LIES: Mapping[Lie, Callable[[bytes], bytes]] = {
    Lie.COOKIE: _other_cookie,
    Lie.MAGIC: lambda reply: bytes(4) + reply[4:],
    Lie.SHORT: lambda reply: reply[: len(reply) // 2],
}
"""What is sent instead of a reply."""
