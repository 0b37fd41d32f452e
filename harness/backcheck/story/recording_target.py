"""A target that writes down what reaches it: a node over the harness's own NBD server.

The implementation sees an ordinary server on a unix socket. The case can hold a request back, fail it, never answer
it, lie, disconnect and come back; and it can say what must have been written, how often, and in which order.
"""

import errno as errno_names
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, JsonValue
from backcheck.nbd_target.coverage import covered, in_pieces, not_covered_once
from backcheck.nbd_target.orders import Action, Lie, Order
from backcheck.nbd_target.server import Server
from backcheck.programs.event_loop import loop_thread
from backcheck.sizes import KiB
from backcheck.story.contents import Content, HasContent, content_of, first_difference
from backcheck.story.disks import Node
from backcheck.story.image_reader import Qcow2Reader, StoredCluster, read_image
from backcheck.story.images import Image
from backcheck.story.session import Session
from backcheck.story.target_requests import (
    Operation,
    Range,
    TargetRequest,
    joined_by_offset,
    kinds_of,
    values_of,
)
from backcheck.transcript import State

JOB_CLUSTER = 64 * KiB


class HeldRequests:
    """An order to hold requests back: the first that comes, or all of a kind."""

    def __init__(self, target: "RecordingTarget", order: Order, what: str) -> None:
        self._target = target
        self._order = order
        self._what = what

    def wait(self) -> TargetRequest:
        """Waits until a request is held; returns the first."""
        self._target.session.recorder.wait(
            lambda: bool(self._order.taken) or None, waiting_for=f"{self._what} to reach {self._target.name}"
        )
        return self.requests[0]

    @property
    def requests(self) -> Sequence[TargetRequest]:
        """What it has held so far, in the order of arrival."""
        return [self._target.request(number) for number in list(self._order.taken)]

    def expect_none(self) -> None:
        """Expects that no such request has come."""
        if self._order.taken:
            self._target.session.fail(self._target.name, expected=f"no {self._what}", got=str(self.requests[0]))

    def release(self) -> None:
        """Carries them out and answers them; what comes now is not held any more."""
        loop_thread().call(lambda: self._target.server.release(self._order))

    def fail(self, errno: int) -> None:
        """Answers them with an error instead; what comes now is not held any more."""
        _known_errno(errno)
        loop_thread().call(lambda: self._target.server.release(self._order, errno))


class RecordingTarget(Node):
    """A node whose bytes are in the harness, and every request with them."""

    def __init__(self, session: Session, name: str, server: Server, format_name: str, size: int) -> None:
        super().__init__(session, name, None)
        self.name = name
        self.format = format_name
        self.server = server
        self.session = session
        self.size = size
        """The virtual size; what the server offers may be larger, for the metadata of a format."""
        self._first = 0

    @property
    def socket(self) -> str:
        """Its socket's name, for a program in the case's folder."""
        return self.server.path.name

    @property
    def url(self) -> str:
        """Its URL, for drive-backup with `mode="existing"`, and for tools."""
        return f"nbd+unix:///{self.name}?socket={self.socket}"

    def tree(self, reconnect_delay: int | None = None) -> JsonObject:
        """The options of a node over it, without a name: `t.node("again0", tree=target.tree())`."""
        protocol: dict[str, JsonValue] = {
            "driver": "nbd",
            "server": {"type": "unix", "path": self.socket},
            "export": self.name,
        }
        if reconnect_delay is not None:
            protocol["reconnect-delay"] = reconnect_delay
        return {"driver": self.format, "file": protocol}

    @property
    def holding(self) -> bool:
        """Whether it holds a request now."""
        return bool(loop_thread().call(lambda: self.server.held))

    def close(self) -> None:
        """The case is over."""
        loop_thread().call(self.server.leave)

    # Telling the server what to do

    def hold(
        self,
        operation: Operation,
        *,
        offset: int = 0,
        length: int | None = None,
        after: int = 0,
        times: int | None = 1,
    ) -> HeldRequests:
        """Holds the next such request that touches the range: it is neither carried out nor answered.

        length: None for all of the disk from `offset` on. after: how many of them to let through before. times: how
        many to hold, None for all. Only what an implementation still answers is allowed while one is held, as with a
        breakpoint.
        """
        order = self._order(Action.HOLD, operation, offset, length, after, times)
        return HeldRequests(self, order, _what(operation, offset, length))

    def fail(
        self,
        operation: Operation,
        errno: int,
        *,
        offset: int = 0,
        length: int | None = None,
        after: int = 0,
        times: int | None = 1,
    ) -> None:
        """Answers such requests with this errno (as errno.EIO), and does not carry them out."""
        self._order(Action.FAIL, operation, offset, length, after, times, errno=_known_errno(errno))

    def lie(self, operation: Operation, how: Literal["cookie", "magic", "short"], *, after: int = 0) -> None:
        """Answers one such request as no server may: with another's cookie, a wrong magic, or half of the answer."""
        self._order(Action.LIE, operation, 0, None, after, 1, lie=Lie(how))

    def disconnect_at(
        self, operation: Operation, *, offset: int = 0, length: int | None = None, after: int = 0
    ) -> "HeldRequests":
        """Such a request is lost with all connections, as `turn_away()` ends them; `.wait()` until it has come."""
        order = self._order(Action.DISCONNECT, operation, offset, length, after, 1)
        return HeldRequests(self, order, _what(operation, offset, length))

    def leave(self) -> None:
        """Ends all connections and takes its socket away, until `come_back()`."""
        loop_thread().call(self.server.leave)

    def turn_away(self) -> None:
        """Ends all connections, and each new one as soon as it is there, until `come_back()`."""
        loop_thread().call(self.server.turn_away)

    def wait_turned_away(self) -> None:
        """Waits until a client that has lost its connection tries again, in vain: then it knows."""
        before = self.server.turned_away
        self.session.recorder.wait(
            lambda: self.server.turned_away > before or None, waiting_for=f"a client to come to {self.name} again"
        )

    def come_back(self) -> None:
        """Takes connections again, with what had been written."""
        loop_thread().submit(self.server.listen()).result()

    def obey(self) -> None:
        """Forgets all orders; what is held stays so until it is released."""
        loop_thread().call(self.server.orders.clear)

    # What has come

    @property
    def requests(self) -> Sequence[TargetRequest]:
        """All requests so far, in the order of arrival."""
        return [TargetRequest(self.name, self.session.recorder, recorded) for recorded in list(self.server.requests)]

    def request(self, number: int) -> TargetRequest:
        """The request of that number, counted from 0."""
        return TargetRequest(self.name, self.session.recorder, self.server.requests[number])

    def received(self, *operations: Operation) -> Sequence[TargetRequest]:
        """The requests of these kinds, in the order of arrival."""
        kinds = {kind for operation in operations for kind in kinds_of(operation)}
        return [request for request in self.requests if request.kind in kinds]

    def forget(self) -> None:
        """What has come so far is left out of what is expected and recorded from here on."""
        self._first = len(self.server.requests)

    def wait_connected(self) -> None:
        """Waits until a client has a connection."""
        self.session.recorder.wait(
            lambda: self.server.connected > 0 or None, waiting_for=f"a client of {self.name} to connect"
        )

    @property
    def connected(self) -> bool:
        """Whether a client has a connection now."""
        return self.server.connected > 0

    # Expectations

    def expect_written_once(
        self,
        *ranges: Range,
        cluster: int = JOB_CLUSTER,
        operations: Sequence[Operation] = ("write", "write-zeroes"),
        elsewhere: bool = False,
    ) -> None:
        """Expects that each byte of these ranges (default: the disk) was written exactly once, and no other.

        cluster: each request covers whole clusters of that size, but for the end of the disk. elsewhere: what came
        outside of the ranges does not matter.
        """
        written = self._changed(operations)
        wanted = ranges or ((0, self.size),)
        for request in written:
            end = request.offset + request.length
            if request.offset % cluster or (end % cluster and end != self.size):
                self.session.fail(self.name, expected=f"whole clusters of {cluster}", got=str(request))
        done = [(request.offset, request.length) for request in written]
        if wrong := not_covered_once(self._end(), done, wanted, elsewhere=elsewhere):
            told = ", ".join(f"{offset}+{length}" for offset, length in wanted)
            self.session.fail(self.name, expected=f"{told} written once", got=", ".join(map(str, wrong[:8])))

    def expect_read_once(self, *ranges: Range) -> None:
        """Expects that each byte of these ranges (default: the disk) was read exactly once, and no other."""
        done = [(item.offset, item.length) for item in self._changed(("read",))]
        if wrong := not_covered_once(self._end(), done, ranges or ((0, self.size),)):
            self.session.fail(self.name, expected="everything read once", got=", ".join(map(str, wrong[:8])))

    def expect_stored_once(self) -> list[StoredCluster]:
        """Expects that each range of a qcow2 target that its final L2 entries name as data was written exactly once.

        A compressed cluster counts as long as its stream is. No machine may use the target: `t.shutdown()` before.
        Returns the ranges.
        """
        with read_image(self.save().path, self.format) as reader:
            if not isinstance(reader, Qcow2Reader):
                raise UsageError(f"{self.name} is {self.format}: what it stores can be told of qcow2 only")
            stored = list(reader.stored())
        wanted = [(cluster.host_offset, cluster.length) for cluster in stored]
        shared = [part for part in covered(self._end(), wanted) if part.times > 1]
        if shared:
            self.session.fail(self.name, expected="each host range in one L2 entry", got=str(shared[0]))
        writes = [(item.offset, item.length) for item in self._changed(("write",))]
        if wrong := not_covered_once(self._end(), writes, wanted, elsewhere=True):
            self.session.fail(self.name, expected="data written once", got=f"host range {wrong[0]}")
        if broken := in_pieces(writes, wanted):
            offset, length = broken[0]
            self.session.fail(self.name, expected="data written whole", got=f"host range {offset}+{length} in pieces")
        return stored

    def expect_untouched(self, *ranges: Range) -> None:
        """Expects that nothing was written, zeroed or trimmed there (default: anywhere)."""
        for offset, length in ranges or ((0, self._end()),):
            for request in self._changed(("change",)):
                if request.offset < offset + length and offset < request.offset + request.length:
                    self.session.fail(self.name, expected=f"{offset}+{length} untouched", got=str(request))

    def expect_order(self, *operations: Operation) -> None:
        """Expects that exactly these requests came, in this order; others than these kinds do not count."""
        got = [request.operation for request in self.received(*operations) if request.number >= self._first]
        if got != list(operations):
            self.session.fail(self.name, expected=", ".join(operations), got=", ".join(got) or "nothing")

    def expect_flushed(self) -> TargetRequest:
        """Expects a flush that came after the last change was answered, and was answered well; returns it."""
        last = max((request.answered.at for request in self._changed(("change",)) if not request.fua), default=-1)
        for request in self.received("flush"):
            if request.arrived.at > last and request.done:
                return request
        self.session.fail(self.name, expected="a flush after the last write", got=_listed(self.requests[-4:]))

    def expect_identical(self, expected: Content | HasContent) -> None:
        """Expects these bytes on a raw target; on any other, what its image holds (see Image.expect_identical).

        No machine may use a target of another format than raw meanwhile: `t.shutdown()` before.
        """
        content = content_of(expected)
        if self.format != "raw":
            self.save().expect_identical(content)
            return
        if self.size != content.size:
            self.session.fail(f"size of {self.name}", expected=str(content.size), got=str(self.size))
        for offset, piece in content.pieces():
            got = loop_thread().call(partial(self.server.storage.read, offset, len(piece)))
            index = first_difference(piece, got)
            if index is not None:
                self.session.fail(
                    f"{self.name} at offset {offset + index}",
                    expected=f"byte {piece[index]:#04x}",
                    got=f"byte {got[index]:#04x}",
                )

    def save(self) -> Image:
        """Writes what the target holds into a file `NAME.saved`, and returns it as an image of the target's format."""
        saved = Image(self.session, f"{self.name}.saved", self.format, Content(size=self.size))
        with saved.path.open("wb") as file:
            for offset, piece in loop_thread().call(lambda: list(self.server.storage.pieces())):
                file.seek(offset)
                file.write(piece)
            file.truncate(self.server.storage.size)
        return saved

    def record_written(self) -> None:
        """Puts what was written into the golden, joined and sorted by offset: certain whatever the requests' order.

        `target target0: write offset=0 length=65536 pattern=17 times=1`; `pattern` only where all is one byte.
        """
        recorder = self.session.recorder
        at = recorder.note(f"written to {self.name}")
        for values in joined_by_offset(self._changed(("change",)), self._end()):
            recorder.add(State(subject=self.name, values=values, at=at))

    def record_requests(self, *operations: Operation) -> None:
        """Puts the requests of these kinds into the golden, one by one: only where their order is certain."""
        recorder = self.session.recorder
        at = recorder.note(f"requests to {self.name}")
        for request in self.received(*operations):
            if request.number >= self._first:
                recorder.add(State(subject=self.name, values=values_of(request), at=at))

    # How it is done

    def _end(self) -> int:
        return self.server.export.size

    def _changed(self, operations: Iterable[Operation]) -> list[TargetRequest]:
        """What was carried out since `forget()`."""
        chosen = self.received(*operations)
        return [request for request in chosen if request.done and request.number >= self._first]

    def _order(
        self,
        action: Action,
        operation: Operation,
        offset: int,
        length: int | None,
        after: int,
        times: int | None,
        *,
        errno: int = 0,
        lie: Lie = Lie.COOKIE,
    ) -> Order:
        order = Order(
            action=action,
            kinds=frozenset(kinds_of(operation)),
            offset=offset,
            length=length,
            skip=after,
            times=times,
            errno=errno,
            lie=lie,
        )
        loop_thread().call(lambda: self.server.orders.append(order))
        return order


def _known_errno(errno: int) -> int:
    if errno not in errno_names.errorcode:
        raise UsageError(f"{errno} is not an errno; use errno.EIO and the like")
    return errno


def _what(operation: Operation, offset: int, length: int | None) -> str:
    where = (
        "" if not offset and length is None else f" from {offset} on" if length is None else f" at {offset}+{length}"
    )
    return f"a {operation}{where}"


def _listed(requests: Iterable[TargetRequest]) -> str:
    return ", ".join(map(str, requests)) or "nothing"
