"""What a numbered case may use: `t` in `def run(t: Case) -> None`.

A case is a story: it makes drives and images, plays the guest, starts backups, and says what it expects. The machine
starts by itself with the first guest request, command or backup. Everything a case does through `t` is in its golden;
`t.ask()` and the other queries that say "unrecorded" are not.
"""

import json
from collections.abc import Callable, Mapping, Sequence

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, JsonValue
from backcheck.programs.processes import Finished
from backcheck.recording.job_lane import FINAL_EVENTS
from backcheck.story.contents import Content, whole_sectors
from backcheck.story.disks import Drive, Node, dotted, image_node
from backcheck.story.expectations import (
    Expected,
    asserted_keys,
    chosen,
    render_expected,
    render_got,
    wire_name,
    wrong_keys,
)
from backcheck.story.faults import FaultSpec
from backcheck.story.human_monitor import HumanMonitor
from backcheck.story.images import Extent, Image, extents_of, record_extents
from backcheck.story.jobs import Moment
from backcheck.story.serving import Serving
from backcheck.transcript import END_STEP, Direction, Output, State
from backcheck.vm import FIRST_CONNECTION

_MON_WARNING = "'-mon' is deprecated"


class Case(Serving):
    """One run of a case on one implementation and format."""

    # Where it runs

    @property
    def format(self) -> str:
        """The source format of this run, `qcow2` or `raw`."""
        return self._session.format

    @property
    def release(self) -> tuple[int, int]:
        """The QEMU release under test, `(7, 2)`. Prefer a guard in the golden to a condition on it."""
        major, minor = self._session.implementation.release.split(".")
        return int(major), int(minor)

    # Images, drives, nodes

    def image(
        self,
        name: str,
        *,
        size: int | None = None,
        format: str | None = None,
        backing: Image | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Image:
        """Creates an image file in the case's folder with the image tool.

        size: virtual size in bytes (default: the backing file's); format: default the run's; options: as after
        `qemu-img create -o`, `{"cluster_size": "2M"}`.
        """
        if size is None:
            if backing is None:
                raise UsageError(f"image {name}: give its size")
            size = backing.size
        seen = whole_sectors(size)
        content = Content(size=seen) if backing is None else backing.content.resized(seen)
        image = self.existing_image(name, format=format, content=content)
        image.create(size, backing=backing, options=options)
        return image

    def drive(
        self,
        id: str = "disk0",
        *,
        size: int | None = None,
        image: Image | None = None,
        format: str | None = None,
        fault: FaultSpec = None,
        breakpoints: bool = False,
        options: Mapping[str, str] | None = None,
        **drive_options: str,
    ) -> Drive:
        """A drive with backend `id` and node `id-node`, over a new image `id.img` of that size, or over `image`.

        fault, breakpoints: put blkdebug between format and file. options: for creating the image. drive_options:
        further keys of `-drive`, as `discard="unmap"`, `cache="none"`, `read_only="on"`. Only before the machine
        starts.
        """
        self._name(id)
        image = image or self.image(f"{id}.img", size=size, format=format, options=options)
        node_name = f"{id}-node"
        named = {"if": "none", "id": id, "node-name": node_name}
        if fault is None and not breakpoints:
            named |= {"format": image.format, "file": image.name}
        else:
            named |= dotted(image_node(image, fault=fault, breakpoints=breakpoints))
        named |= {wire_name(key): value for key, value in drive_options.items()}
        self._session.add_arguments("-drive", ",".join(f"{key}={value}" for key, value in named.items()))
        self._session.attached[image.name] = node_name
        return Drive(self._session, id, node_name, image, breakpoints=breakpoints)

    def node(
        self,
        node_name: str,
        *,
        size: int | None = None,
        image: Image | None = None,
        format: str | None = None,
        fault: FaultSpec = None,
        options: Mapping[str, str] | None = None,
        tree: JsonObject | None = None,
    ) -> Node:
        """A node without a guest, by `-blockdev` before the machine starts and by unrecorded `blockdev-add` after it.

        It is over a new image `NODE-NAME.img` of that size, or over `image`; or it is any `tree` of blockdev options,
        as `{"driver": "null-co", "size": MiB}`. To hold its requests, make it a drive: its id is a target as well.
        """
        self._name(node_name)
        if tree is None:
            image = image or self.image(f"{node_name}.img", size=size, format=format, options=options)
            tree = image_node(image, fault=fault)
        self._session.add_node(node_name, {"node-name": node_name, **tree})
        if image is not None:
            self._session.attached[image.name] = node_name
        return Node(self._session, node_name, image)

    def guest_on(self, node: Node | str, image: Image) -> Drive:
        """A guest that sits on a node instead of a drive, as on a filter that the case puts over a disk.

        Its requests (not the `aio_` ones) go to that node; `image` is what it writes to in the end.
        """
        name = node.node_name if isinstance(node, Node) else node
        return Drive(self._session, name, name, image, breakpoints=False)

    def human_monitor(self, name: str = "operator") -> HumanMonitor:
        """A human monitor of that name, at which an operator types; only before the machine starts."""
        self._name(name)
        descriptor = FIRST_CONNECTION + len(self._session.operators)
        self._session.add_arguments("-chardev", f"socket,id={name},fd={descriptor}")
        self._session.add_arguments("-mon", f"chardev={name},mode=readline")
        human = HumanMonitor(self._session, name)
        self._session.operators.append(human)
        return human

    def start(self, *arguments: str) -> None:
        """Starts the machine now, with more arguments for its command line, instead of at the first use.

        Also starts it again, with the same drives and nodes, after `t.shutdown()`, `t.quit()` or `t.kill()`.
        """
        self._session.add_arguments(*arguments)
        self._session.start(again=True)

    def restart(self, *arguments: str) -> None:
        """Ends the machine in order and starts it again, unrecorded, with more arguments for its command line.

        It has the same drives, nodes and faults, also the nodes that were added meanwhile. Jobs must be at rest.
        """
        self.shutdown()
        self.start(*arguments)

    def limit_file_size(self, size: int | None) -> None:
        """From now on no file that the running machine writes may grow beyond that many bytes; None lifts the limit.

        What would is refused by the kernel, with EFBIG; unrecorded. Programs start with SIGXFSZ ignored, as Python is.
        """
        self._session.limit_file_size(size)

    # Tools

    def img(self, *arguments: str) -> Finished:
        """Runs the image tool, whatever its exit status, also on images the machine has open; unrecorded."""
        return self._session.implementation.img(*arguments, cwd=self._session.folder)

    def io(self, *arguments: str) -> Finished:
        """Runs the I/O tool, whatever its exit status, also on images the machine has open; unrecorded."""
        return self._session.implementation.io(*arguments, cwd=self._session.folder)

    def img_map(self, subject: str, *arguments: str) -> list[Extent]:
        """What `img map ARGUMENTS` tells, which must succeed, also of what the machine exports; the golden has it.

        subject: what the golden calls it, since arguments may be long: `t.img_map("disk0", "nbd:unix:nbd.sock:…")`.
        """
        done = self.img("map", "--output=json", *arguments)
        if done.status != 0:
            self._session.fail(f"img map {subject}", expected="success", got=done.stderr.strip())
        extents = extents_of(done.stdout)
        record_extents(self._session, subject, extents)
        return extents

    # Steps and expectations

    def step(self, title: str) -> None:
        """Begins a step of the story, with its own section of the golden."""
        if title == END_STEP:
            raise UsageError(f"a step is not called {END_STEP!r}")
        if not title.strip() or len(title.splitlines()) > 1:
            raise UsageError(f"a step has a title of one line, not {title!r}")
        self._session.stdout.collect()
        self._session.recorder.step(title)

    def expect(self, subject: str, got: JsonValue, expected: JsonValue) -> None:
        """Expects a value; not in the golden."""
        if type(got) is not type(expected) or got != expected:
            self._session.fail(subject, expected=json.dumps(expected), got=json.dumps(got))

    def expect_state(self, subject: str, values: JsonObject, **expected: Expected) -> None:
        """Expects these keys of what was queried, and puts them into the golden as a state of that subject."""
        if wrong := wrong_keys(expected, values):
            wanted = render_expected(expected, values, wrong)
            self._session.fail(subject, expected=wanted, got=render_got(values, wrong))
        self._record(subject, chosen(values, expected), asserted_keys(expected, values))

    def record(self, subject: str, values: JsonObject, keys: Sequence[str] | None = None) -> None:
        """Puts values, or these keys of them, into the golden as a state of that subject."""
        self._record(subject, values if keys is None else chosen(values, keys), ())

    def expect_before(self, first: Moment, second: Moment) -> None:
        """Expects an order across lanes, which no golden has: `t.expect_before(job.state("running"), job.reply)`."""
        if first.at >= second.at:
            self._session.fail("order", expected=f"{first.what} before {second.what}", got="after it")

    def poll(self, predicate: Callable[[], bool], waiting_for: str, *, seconds: float | None = None) -> None:
        """Asks until the predicate holds; `waiting_for` completes "waited 30 s for …". Use `ask` and queries in it."""
        self._session.recorder.wait(lambda: predicate() or None, waiting_for=waiting_for, seconds=seconds)

    def record_stderr(self) -> list[str]:
        """Puts what the system program has printed on stderr since the last call into the golden; returns the lines."""
        printed = [line for line in self._session.machine.stderr() if _MON_WARNING not in line]
        lines, self._stderr_lines = printed[self._stderr_lines :], len(printed)
        for line in lines:
            at = self._session.recorder.record(Direction.NOTE, "", f"stderr: {line}")
            self._session.recorder.add(Output(text=line, at=at, stream="stderr"))
        return lines

    # The end

    def shutdown(self) -> None:
        """Ends the machine in order, unrecorded, so that images it had open can be judged. Jobs must be at rest."""
        self._require_rest()
        self._session.shut_down()
        self._ended_jobs = len(self._jobs)

    def kill(self) -> None:
        """Kills the machine, whatever it does; then images can be judged, and the next use starts it again.

        What no step awaited before is in no step, since a kill may come before or after it. What the guest wrote and
        did not flush may be lost.
        """
        self._session.kill()
        self._ended_jobs = len(self._jobs)

    def finish(self) -> None:
        """What the runner calls after the story: ends the machine, which must exit with status 0."""
        self._session.stdout.collect()
        self._require_rest()
        self._session.shut_down()

    # How it is done

    def _record(self, subject: str, values: JsonObject, asserted: tuple[str, ...]) -> None:
        at = self._session.recorder.note(f"state of {subject}")
        self._session.recorder.add(State(subject=subject, values=values, at=at, asserted=asserted))

    def _require_rest(self) -> None:
        if not self._session.running:
            return
        for job in self._jobs[self._ended_jobs :]:
            if job.moves_on:
                raise UsageError(
                    f"{job.id} is {job.last_status()} and may go on by itself, so what it says is not certain: "
                    f"{job.id}.wait(), or cancel it, before the end ({', '.join(FINAL_EVENTS)})"
                )
