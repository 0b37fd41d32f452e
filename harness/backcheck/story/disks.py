"""What a machine has: drives, whose guest a case plays, and nodes without one.

The guest's requests are HMP `qemu-io DEVICE …` through the drive's backend, as a device's would be; each is recorded
with its result. A drive can hold a request with a breakpoint (blkdebug) until the case lets it go.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, JsonValue
from backcheck.recording.stdout_lines import OK, Request
from backcheck.story.bitmaps import Bitmap
from backcheck.story.contents import Content, HasContent
from backcheck.story.faults import FaultSpec, as_rules
from backcheck.story.images import Image
from backcheck.story.jobs import Moment
from backcheck.story.session import Session
from backcheck.story.transactions import Action
from backcheck.transcript import Direction, Guest

PENDING = "pending"


class Node:
    """A block node that a case added by name, without a guest: what blockdev-backup takes as a target."""

    def __init__(self, session: Session, node_name: str, image: Image | None) -> None:
        self.node_name = node_name
        self._image = image
        self._session = session

    @property
    def argument(self) -> str:
        """What commands get as `device` or `target`."""
        return self.node_name

    @property
    def image(self) -> Image:
        """Its image file. Raises UsageError for a node that has none."""
        if self._image is None:
            raise UsageError(f"{self.argument} has no image file")
        return self._image

    @property
    def content(self) -> Content:
        """What it should hold by the case's writes; immutable, so keep it to remember a point in time."""
        return self.image.content

    def expect_identical(self, expected: Content | HasContent) -> None:
        """See Image.expect_identical; the machine must have been shut down."""
        self.image.expect_identical(expected)

    def resize(self, size: int) -> None:
        """block_resize, which must succeed; the model of the content is cut or goes on with zeroes."""
        arguments: JsonObject = {**self._resized, "size": size}
        self._session.expect_success(self._session.execute("block_resize", arguments, recorded=True))
        if self._image is not None:
            self._image.note_resize(size)

    @property
    def _resized(self) -> JsonObject:
        """What names it in block_resize."""
        return {"node-name": self.node_name}

    def add_bitmap(
        self,
        name: str,
        *,
        granularity: int | None = None,
        persistent: bool | None = None,
        disabled: bool | None = None,
    ) -> Bitmap:
        """block-dirty-bitmap-add, which must succeed. None leaves an argument out."""
        bitmap = Bitmap(self._session, self.node_name, name)
        return bitmap.add(granularity=granularity, persistent=persistent, disabled=disabled)

    def add_bitmap_action(
        self,
        name: str,
        *,
        granularity: int | None = None,
        persistent: bool | None = None,
        disabled: bool | None = None,
    ) -> Action:
        """The same as an action of a transaction."""
        bitmap = Bitmap(self._session, self.node_name, name)
        return bitmap.add_action(granularity=granularity, persistent=persistent, disabled=disabled)


class Drive(Node):
    """A drive with a backend (`id`), a node below it, and a guest: the case."""

    def __init__(self, session: Session, drive_id: str, node_name: str, image: Image, *, breakpoints: bool) -> None:
        super().__init__(session, node_name, image)
        self.id = drive_id
        self._breakpoints = breakpoints

    @property
    def argument(self) -> str:
        return self.id

    @property
    def _resized(self) -> JsonObject:
        return {"device": self.id}

    def write(self, pattern: int, *, offset: int, length: int, expect: str = OK) -> None:
        """The guest writes; `expect` is `ok` or the text of the error that it must get."""
        if self._request(f"write -P {pattern}", f"write {pattern:#04x}", "write", offset, length, expect):
            self.image.note_write(pattern, offset, length)

    def write_zeroes(self, *, offset: int, length: int, unmap: bool = False, expect: str = OK) -> None:
        """The guest makes a range zero without sending data, with `unmap` also giving it up."""
        flag, word = (" -u", " unmap") if unmap else ("", "")
        if self._request(f"write -z{flag}", f"write-zeroes{word}", "write", offset, length, expect):
            self.image.note_write(0, offset, length)

    def discard(self, *, offset: int, length: int, expect: str = OK) -> None:
        """The guest discards; the model does not change, since what a discarded range reads as is not promised."""
        self._request("discard", "discard", "discard", offset, length, expect)

    def read(self, pattern: int, *, offset: int, length: int, expect: str = OK) -> None:
        """The guest reads and expects every byte to be `pattern`, or that error."""
        self._request(f"read -P {pattern}", f"read {pattern:#04x}", "read", offset, length, expect)

    def flush(self) -> None:
        """The guest flushes; qemu-io tells no result."""
        self._qemu_io("flush")
        self._add("flush", OK)

    def aio_write(self, pattern: int, *, offset: int, length: int) -> "PendingRequest":
        """The guest starts a write and does not wait for it; allowed while a breakpoint holds a request."""
        return self._start(f"aio_write -P {pattern}", f"write {pattern:#04x}", "write", offset, length, pattern)

    def aio_read(self, pattern: int, *, offset: int, length: int) -> "PendingRequest":
        """The guest starts a read that expects every byte to be `pattern`."""
        return self._start(f"aio_read -P {pattern}", f"read {pattern:#04x}", "read", offset, length, None)

    def hold(self, event: str, *, tag: str = "hold") -> "Hold":
        """Sets a breakpoint: the next request to reach this blkdebug event (`read_aio`, `write_aio`, …) stays there.

        Needs `t.drive(…, breakpoints=True)`. Wait for it with `.wait()`, let it go with `.release()`, or use it as
        `with disk.holding("write_aio") as held:`. Meanwhile only what QEMU still answers is allowed.
        """
        if not self._breakpoints:
            raise UsageError(f"{self.id} has no breakpoints: t.drive({self.id!r}, breakpoints=True)")
        self._qemu_io(f"break {event} {tag}", while_held=True)
        self._session.breakpoints.append(tag)
        return Hold(self._session, self, event, tag)

    @contextmanager
    def holding(self, event: str, *, tag: str = "hold") -> Iterator["Hold"]:
        """`hold()` as a context that lets the request go at its end."""
        held = self.hold(event, tag=tag)
        yield held
        held.release()

    def _request(self, command: str, text: str, operation: str, offset: int, length: int, expect: str) -> bool:
        """Sends one synchronous request; True when it went well."""
        request = Request(operation=operation, offset=offset, length=length)
        self._session.stdout.expect(request)
        sent = len(self._session.recorder.raw)
        self._qemu_io(f"{command} {offset} {length}")
        if request.result is None:
            self._session.stdout.drop(request)
            raw = self._session.recorder.raw[sent:]
            said = [str(each.message) for each in raw if each.direction is Direction.STDOUT]
            raise UsageError(f"qemu-io {self.id} {command} {offset} {length}: {' '.join(said) or 'printed no result'}")
        text = f"{text} offset={offset} length={length}"
        self._add(text, request.result)
        if request.result != expect:
            self._session.fail(f"guest {self.id}: {text}", expected=expect, got=request.result)
        return request.result == OK

    def _start(
        self, command: str, text: str, operation: str, offset: int, length: int, pattern: int | None
    ) -> "PendingRequest":
        request = Request(operation=operation, offset=offset, length=length)
        self._session.stdout.expect(request)
        text = f"{text} offset={offset} length={length}"
        self._add(text, PENDING)
        self._qemu_io(f"{command} {offset} {length}", while_held=True)
        return PendingRequest(self._session, self, request, text, pattern)

    def _add(self, text: str, result: str) -> None:
        recorder = self._session.recorder
        recorder.add(Guest(device=self.id, text=text, result=result, at=len(recorder.raw)))

    def _qemu_io(self, command: str, *, while_held: bool = False) -> None:
        session = self._session
        arguments: JsonObject = {"command-line": f'qemu-io {self.id} "{command}"'}
        send = session.send if while_held else session.execute
        exchange = send("human-monitor-command", arguments, recorded=False)
        session.expect_success(exchange)
        if exchange.value:
            raise UsageError(f"qemu-io {self.id} {command}: {str(exchange.value).strip()}")


class PendingRequest:
    """A guest request that was started and not awaited yet."""

    def __init__(self, session: Session, drive: Drive, request: Request, text: str, pattern: int | None) -> None:
        self.text = text
        self._session = session
        self._drive = drive
        self._request = request
        self._pattern = pattern

    @property
    def ended(self) -> Moment:
        """When its result was printed. Raises UsageError before that."""
        if self._request.ended_at is None:
            raise UsageError(f"guest {self._drive.id}: {self.text} has not ended: wait for it before you ask when")
        return Moment(at=self._request.ended_at, what=f"guest {self._drive.id}: {self.text}")

    @property
    def done(self) -> bool:
        """Whether its result has been printed."""
        self._session.stdout.collect()
        return self._request.result is not None

    def wait(self, *, expect: str = OK) -> None:
        """Waits for its end, which must be `ok` or the text of that error."""
        result = self._session.recorder.wait(self._look, waiting_for=f"guest {self._drive.id}: {self.text}")
        self._drive._add(self.text, result)
        if result != expect:
            self._session.fail(f"guest {self._drive.id}: {self.text}", expected=expect, got=result)
        if result == OK and self._pattern is not None:
            self._drive.image.note_write(self._pattern, self._request.offset, self._request.length)

    def expect_waiting(self) -> None:
        """Expects that it has not ended: asks the machine something, then looks."""
        self._session.ask("query-status")
        if self.done:
            self._session.fail(
                f"guest {self._drive.id}: {self.text}", expected="still waiting", got=str(self._request.result)
            )

    def _look(self) -> str | None:
        self._session.stdout.collect()
        return self._request.result


class Hold:
    """A breakpoint that was set, and the request it holds or will hold."""

    def __init__(self, session: Session, drive: Drive, event: str, tag: str) -> None:
        self._session = session
        self._drive = drive
        self._event = event
        self._tag = tag

    def wait(self) -> None:
        """Waits until a request is held."""
        self._session.recorder.wait(
            self._look, waiting_for=f"a request to stop at the breakpoint {self._event} of {self._drive.id}"
        )

    def release(self) -> None:
        """Lets the request go, and no other will stop here."""
        if self._tag in self._session.breakpoints:
            self._session.stdout.collect()
            command = "resume" if self._tag in self._session.stdout.suspended else "remove_break"
            self._drive._qemu_io(f"{command} {self._tag}", while_held=True)
            self._session.breakpoints.remove(self._tag)

    def _look(self) -> bool | None:
        self._session.stdout.collect()
        return self._tag in self._session.stdout.suspended or None


def image_node(image: Image, *, fault: FaultSpec = None, breakpoints: bool = False) -> dict[str, JsonValue]:
    """The option tree of a format node over an image file, with blkdebug between when it is needed."""
    protocol: dict[str, JsonValue] = {"driver": "file", "filename": image.name}
    rules = as_rules(fault)
    if rules or breakpoints:
        protocol = {"driver": "blkdebug", "image": protocol, **rules}
    return {"driver": image.format, "file": protocol}


def dotted(tree: Mapping[str, JsonValue], prefix: str = "") -> dict[str, str]:
    """An option tree in `-drive` syntax: `file.inject-error.0.event` -> `read_aio`."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= dotted(value, f"{name}.")
        elif isinstance(value, list):
            flat |= dotted({str(index): item for index, item in enumerate(value)}, f"{name}.")
        else:
            flat[name] = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return flat
