"""What a case has beside its machine on the network: recording targets, a server program, and NBD's own tools."""

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from backcheck.errors import UsageError
from backcheck.nbd_target.connection import EVERYTHING, Export
from backcheck.nbd_target.server import Server
from backcheck.nbd_target.storage import PIECE_SIZE
from backcheck.nbd_target.wire import Feature
from backcheck.programs import processes
from backcheck.programs.processes import Finished
from backcheck.sizes import MiB
from backcheck.story.contents import Content, whole_sectors
from backcheck.story.disks import Drive, dotted
from backcheck.story.images import Image
from backcheck.story.recording_target import RecordingTarget
from backcheck.story.session import Session
from backcheck.story.starting import Starting

END_TIMEOUT_S = 20.0
TOOL_TIMEOUT_S = 60.0


class Offer(TypedDict, total=False):
    """What a recording target offers, where it is not everything.

    read_only: writes are refused. without: of flush, fua, trim, write-zeroes, df, multi-conn, fast-zero. structured:
    structured replies and base:allocation. block_sizes: minimum, preferred, maximum, or None to say nothing of them.
    """

    read_only: bool
    without: tuple[str, ...]
    structured: bool
    block_sizes: tuple[int, int, int] | None


class Serving(Starting):
    """Recording targets, `t.nbd_server()`, `t.nbdinfo()`, `t.nbdcopy()`."""

    def recording_target(
        self,
        name: str = "target0",
        *,
        size: int,
        format: str = "raw",
        options: Mapping[str, str] | None = None,
        node: bool = True,
        reconnect_delay: int | None = None,
        **offer: Unpack[Offer],
    ) -> RecordingTarget:
        """A node of that name over an NBD server in the harness, which writes down every request.

        size: virtual size in bytes. format: what the node is over it, raw or any that the image tool creates; options:
        for creating it. node: False to add no node, but use `target.url`. reconnect_delay: seconds, of the node.
        """
        self._name(name)
        content = Content(size=whole_sectors(size))
        offered = content.size if format == "raw" else 2 * content.size + 4 * MiB
        session = self._session
        server = Server(session.folder / f"{name}.sock", _export(name, offered, offer), session.recorder.note)
        if format != "raw":
            self._load(server, Image(session, f"{name}.new", format, content), options)
        target = RecordingTarget(session, name, server, format, content.size)
        session.peers[name] = target
        target.come_back()
        if node:
            session.add_node(name, {"node-name": name, **target.tree(reconnect_delay)})
        return target

    def drive_over(
        self, id: str, target: RecordingTarget, *, reconnect_delay: int | None = None, **drive_options: str
    ) -> Drive:
        """A drive whose disk is what a recording target keeps, made with `node=False`: a source on the network.

        drive_options: further keys of `-drive`. Judge what it holds with `target.expect_identical(disk)`.
        """
        self._name(id)
        node_name = f"{id}-node"
        image = Image(self._session, f"{id}.remote", target.format, Content(size=target.size))
        named = {"if": "none", "id": id, "node-name": node_name, **dotted(target.tree(reconnect_delay))}
        named |= {key.replace("_", "-"): value for key, value in drive_options.items()}
        self._session.add_arguments("-drive", ",".join(f"{key}={value}" for key, value in named.items()))
        return Drive(self._session, id, node_name, image, breakpoints=False)

    def nbd_server(self, *arguments: Image | str, name: str = "server") -> "ServerProgram":
        """Starts the implementation's NBD server program (`qemu-nbd`, `backcheck-nbd`), and waits until it listens.

        arguments: all but its socket, which is `NAME.sock`: `t.nbd_server("-f", "qcow2", "-x", "e", "disk.img")`. An
        Image is its file and its format.
        """
        return ServerProgram(self._session, name, [word for item in arguments for word in _words(item)])

    def nbdinfo(self, *arguments: str) -> Finished:
        """Runs nbdinfo in the case's folder, whatever its exit status; unrecorded. `requires=["tool:nbdinfo"]`."""
        return self._tool("nbdinfo", *arguments)

    def nbdcopy(self, *arguments: str) -> Finished:
        """Runs nbdcopy in the case's folder, whatever its exit status; unrecorded. `requires=["tool:nbdcopy"]`."""
        return self._tool("nbdcopy", *arguments)

    # How it is done

    def _name(self, name: str) -> None:
        """Notes the name of a drive or node. Raises UsageError when it is taken."""
        if name in self._names:
            raise UsageError(f"there is a {name} already: a drive or node needs a name of its own")
        self._names.add(name)

    def _tool(self, name: str, *arguments: str) -> Finished:
        if shutil.which(name) is None:
            raise UsageError(f"there is no {name} on PATH: the case needs requires=['tool:{name}']")
        return processes.run_to_end(
            name, [name, *arguments], cwd=self._session.folder, env=os.environ, timeout_s=TOOL_TIMEOUT_S
        )

    def _load(self, server: Server, image: Image, options: Mapping[str, str] | None) -> None:
        """Puts a new image, which the image tool makes, into the server's disk."""
        image.create(image.size, options=options)
        with image.path.open("rb") as file:
            for offset in range(0, image.path.stat().st_size, PIECE_SIZE):
                piece = file.read(PIECE_SIZE)
                if piece.count(0) != len(piece):
                    server.storage.write(offset, piece)
        image.path.unlink()


class ServerProgram:
    """An NBD server program that runs until `stop()` or `kill()`, and again after `start()`."""

    def __init__(self, session: Session, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.socket = f"{name}.sock"
        self._session = session
        self._pid_file = session.folder / f"{name}.pid"
        self._stderr = session.folder / f"{name}.stderr"
        listens = f"/proc/self/cwd/{self.socket}"  # absolute, as qemu-nbd wants it, and short, as the kernel does
        self._arguments = ["--persistent", "--socket", listens, "--pid-file", self._pid_file.name, *arguments]
        self.start()
        session.peers[name] = self

    @property
    def url(self) -> str:
        """The URL of its export without a name."""
        return self.export_url("")

    def export_url(self, export: str) -> str:
        """The URL of an export."""
        return f"nbd+unix:///{export}?socket={self.socket}"

    @property
    def holding(self) -> bool:
        return False

    def start(self) -> None:
        """Starts it, also again after its end, on the same socket, and waits until it listens."""
        for left in (self._pid_file, self._session.folder / self.socket):
            left.unlink(missing_ok=True)
        with open(os.devnull, "r+b") as nothing, self._stderr.open("ab") as stderr:
            descriptors = {0: nothing.fileno(), 1: nothing.fileno(), 2: stderr.fileno()}
            self.process = self._session.implementation.start_nbd(
                self._arguments, cwd=self._session.folder, descriptors=descriptors
            )
        self._session.recorder.wait(self._ready, waiting_for=f"{self.process.name} to listen")

    def stop(self, *, status: int = 0) -> None:
        """Ends it by SIGTERM; it must end with that status."""
        self.process.signal(signal.SIGTERM)
        got = self.process.wait(END_TIMEOUT_S)
        if got != status:
            self._session.fail(self.process.name, expected=f"exit status {status}", got=self.process.describe_end())

    def kill(self) -> None:
        """Kills it, whatever it does."""
        self.process.kill()

    def close(self) -> None:
        self.process.kill()

    def _ready(self) -> bool | None:
        """Whether it listens: then it has written its process id."""
        if self._pid_file.exists():
            return True
        if self.process.exit_status is not None:
            said = self._stderr.read_text(errors="replace").strip()
            self._session.fail(self.process.name, expected="to listen", got=f"{self.process.describe_end()}: {said}")
        return None


def _words(argument: Image | str) -> list[str]:
    return [argument] if isinstance(argument, str) else ["--format", argument.format, argument.name]


_FEATURES: Mapping[str, Feature] = {str(flag.name).lower().replace("_", "-"): flag for flag in EVERYTHING}


def _export(name: str, size: int, offer: Offer) -> Export:
    features = EVERYTHING
    for word in offer.get("without", ()):
        if word not in _FEATURES:
            raise UsageError(f"a target offers {', '.join(_FEATURES)}; {word!r} cannot be left out")
        features &= ~_FEATURES[word]
    if offer.get("read_only"):
        features |= Feature.READ_ONLY
    export = Export(name=name, size=size, features=features, structured=offer.get("structured", True))
    if "block_sizes" not in offer:
        return export
    return Export(
        name=name, size=size, features=features, structured=export.structured, block_sizes=offer["block_sizes"]
    )
