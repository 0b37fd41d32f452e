"""The harness's NBD server, with independent clients: nbdinfo, nbdcopy and qemu-io; its disk against plain bytes."""

import contextlib
import errno
import json
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backcheck.nbd_target.connection import EVERYTHING, Connection, Export
from backcheck.nbd_target.coverage import covered, in_pieces, not_covered_once
from backcheck.nbd_target.orders import Action, Lie, Order
from backcheck.nbd_target.server import Recorded, Server
from backcheck.nbd_target.storage import PIECE_SIZE, Storage
from backcheck.nbd_target.wire import STATE_ZERO, Feature, Kind
from backcheck.programs.event_loop import loop_thread
from backcheck.sizes import GiB, KiB, MiB

SIZE = MiB + 512
URL = "nbd+unix:///disk?socket=disk.sock"


class Running:
    """A server that listens in a folder, and programs that are run there."""

    def __init__(self, folder: Path, export: Export) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.server = Server(folder / "disk.sock", export, self._note)
        self.listen()

    def listen(self) -> None:
        loop_thread().submit(self.server.listen()).result()

    def order(self, action: Action, kind: Kind, errno: int = 0, lie: Lie = Lie.COOKIE, skip: int = 0) -> Order:
        order = Order(action=action, kinds=frozenset({kind}), errno=errno, lie=lie, skip=skip)
        loop_thread().call(partial(self.server.orders.append, order))
        return order

    def run(self, *arguments: str, status: int | None = 0) -> str:
        if shutil.which(arguments[0]) is None:
            pytest.skip(f"there is no {arguments[0]} on PATH")
        done = subprocess.run(arguments, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert status in (None, done.returncode), done.stderr + done.stdout
        return done.stdout + done.stderr

    def io(self, *commands: str, url: str = URL) -> str:
        return self.run(
            "qemu-io",
            "-t",
            "writeback",
            "-f",
            "raw",
            *(part for command in commands for part in ("-c", command)),
            url,
            status=None,
        )

    def requests(self, *kinds: Kind) -> list[Recorded]:
        return [request for request in self.server.requests if request.kind in kinds]

    def close(self) -> None:
        loop_thread().call(self.server.leave)

    def _note(self, line: str) -> int:
        self.lines.append(line)
        return len(self.lines) - 1


Serve = Callable[[Export], Running]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(export)` starts a server."""
    running: list[Running] = []

    def start(export: Export) -> Running:
        running.append(Running(tmp_path, export))
        return running[-1]

    yield start
    for server in running:
        server.close()


DISK = Export(name="disk", size=SIZE)


def test_what_nbdinfo_sees(serve: Serve) -> None:
    disk = serve(DISK)
    told = json.loads(disk.run("nbdinfo", "--json", URL))
    export = told["exports"][0]
    assert (told["protocol"], told["structured"]) == ("newstyle-fixed", True)
    assert (export["export-name"], export["export-size"], export["contexts"]) == ("disk", SIZE, ["base:allocation"])
    assert (export["block_size_minimum"], export["block_size_preferred"], export["block_size_maximum"]) == (
        1,
        4 * KiB,
        32 * MiB,
    )
    able = {name: export[name] for name in export if name.startswith(("can_", "is_"))}
    assert able == {
        "is_rotational": False,
        "is_read_only": False,
        "can_cache": False,
        "can_df": True,
        "can_fast_zero": True,
        "can_flush": True,
        "can_fua": True,
        "can_multi_conn": True,
        "can_trim": True,
        "can_zero": True,
    }
    assert "disk" in disk.run("nbdinfo", "--list", "nbd+unix://?socket=disk.sock")
    disk.run("nbdinfo", "nbd+unix:///other?socket=disk.sock", status=1)
    assert not disk.server.refused


def test_little_is_offered(serve: Serve) -> None:
    features = Feature.READ_ONLY | Feature.FLUSH
    disk = serve(Export(name="disk", size=SIZE, features=features, structured=False, block_sizes=None))
    export = json.loads(disk.run("nbdinfo", "--json", URL))["exports"][0]
    assert (export["is_read_only"], export["can_trim"], export["can_zero"]) == (True, False, False)
    assert "block_size_minimum" not in export
    disk.run("nbdinfo", "--map", URL, status=None)
    assert "can't open" in disk.io("write 0 512")
    assert "read 4096/4096 bytes" in disk.run("qemu-io", "-r", "-f", "raw", "-c", "read -P 0 0 4k", URL)


def test_requests_of_qemu_io_are_written_down(serve: Serve) -> None:
    disk = serve(DISK)
    said = disk.io(
        "write -P 0x11 64k 64k",
        "write -f -P 0x22 100k 1k",
        "write -z -u 0 64k",
        "write -z 128k 4k",
        "discard 192k 64k",
        "flush",
        "read -P 0x22 100k 1k",
        "read -P 0 128k 64k",
    )
    assert "failed" not in said
    changes = disk.requests(Kind.WRITE, Kind.WRITE_ZEROES, Kind.TRIM)
    assert [str(request) for request in changes] == [
        "write 0x11 offset=65536 length=65536",
        "write 0x22 offset=102400 length=1024 fua",
        "write-zeroes offset=0 length=65536",
        "write-zeroes offset=131072 length=4096 no_hole",
        "trim offset=196608 length=65536",
    ]
    assert all(request.done for request in disk.server.requests)
    flush = disk.requests(Kind.FLUSH)[0]
    assert flush.answered is not None
    assert disk.lines[flush.arrived].endswith("flush")
    assert disk.lines[flush.answered].endswith("-> ok")
    assert disk.server.storage.read(100 * KiB, 2 * KiB) == b"\x22" * KiB + b"\x11" * KiB


def test_a_disk_goes_through_nbdcopy_and_back(serve: Serve) -> None:
    disk = serve(DISK)
    content = b"".join(bytes([index % 251]) * 4096 for index in range(SIZE // 4096)).ljust(SIZE, b"\x77")
    content = bytes(PIECE_SIZE) + content[PIECE_SIZE:]
    (disk.folder / "in").write_bytes(content)
    disk.run("nbdcopy", "in", URL)
    assert disk.server.storage.read(0, SIZE) == content
    disk.run("nbdcopy", URL, "out")
    assert (disk.folder / "out").read_bytes() == content
    map_ = [
        (item["offset"], item["length"], item["type"])
        for item in json.loads(disk.run("nbdinfo", "--map", "--json", URL))
    ]
    assert map_ == [(0, PIECE_SIZE, 3), (PIECE_SIZE, SIZE - PIECE_SIZE, 0)]
    assert not disk.server.refused


def test_a_large_disk_costs_little(serve: Serve) -> None:
    disk = serve(Export(name="disk", size=GiB))
    assert "failed" not in disk.io("write -P 0x11 0 32M", "write -P 0x11 500M 32M", "write -z -u 0 1G")
    disk.io("write -P 0x11 700M 16M")
    pieces = [piece for _, piece in disk.server.storage.pieces()]
    assert (len(pieces), len(set(map(id, pieces)))) == (16 * MiB // PIECE_SIZE, 1)


def test_a_request_fails_as_told(serve: Serve) -> None:
    disk = serve(DISK)
    disk.order(Action.FAIL, Kind.WRITE, errno.ENOSPC, skip=1)
    said = disk.io("write -P 1 0 512", "write -P 2 0 512", "write -P 3 512 512")
    assert re.findall(r"write failed: (.*)", said) == ["No space left on device"]
    assert disk.server.storage.read(0, KiB) == b"\x01" * 512 + b"\x03" * 512
    assert [request.error for request in disk.requests(Kind.WRITE)] == [0, errno.ENOSPC, 0]


@pytest.mark.parametrize("kind", [Kind.READ, Kind.WRITE])
@pytest.mark.parametrize("lie", list(Lie))
def test_no_client_believes_a_lie(serve: Serve, kind: Kind, lie: Lie) -> None:
    disk = serve(DISK)
    disk.order(Action.LIE, kind, lie=lie)
    assert f"{kind.value} failed" in disk.io(f"{kind.value} 0 4k")


def test_a_server_that_leaves_and_comes_back(serve: Serve) -> None:
    disk = serve(DISK)
    disk.order(Action.DISCONNECT, Kind.WRITE, skip=1)
    said = disk.io("write -P 1 0 512", "write -P 2 512 512")
    assert "write failed: Input/output error" in said
    assert "can't open" in disk.io("read 0 512")
    assert disk.server.turned_away == 1
    disk.listen()
    assert "failed" not in disk.io("read -P 1 0 512", "read -P 0 512 512")
    assert [request.connection for request in disk.requests(Kind.WRITE)] == [0, 0]


def test_limits_are_kept(serve: Serve) -> None:
    disk = serve(Export(name="disk", size=MiB, block_sizes=(4 * KiB, 64 * KiB, 128 * KiB)))
    assert "failed" not in disk.io("write -P 1 1k 1k", "write -P 2 0 1M", "read -P 2 512 512")
    assert all(request.offset % (4 * KiB) == 0 and request.length % (4 * KiB) == 0 for request in disk.server.requests)
    assert max(request.length for request in disk.requests(Kind.WRITE)) == 128 * KiB
    with socket.socket(socket.AF_UNIX) as client:
        negotiate(client, disk)
        for kind, offset, length, wanted in (
            (0, 512, 4 * KiB, errno.EINVAL),
            (0, 0, MiB, errno.EINVAL),
            (1, MiB, 4 * KiB, errno.ENOSPC),
            (0, MiB, 4 * KiB, errno.EINVAL),
            (6, 0, MiB, 0),
        ):
            client.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, 7, offset, length))
            client.sendall(bytes(length) if kind == 1 else b"")
            assert struct.unpack(">IIQ", client.recv(16, socket.MSG_WAITALL)) == (0x67446698, wanted, 7)


def negotiate(client: socket.socket, disk: Running) -> None:
    """The old way in, EXPORT_NAME, with the padding that only it has."""
    client.settimeout(20)
    client.connect(str(disk.folder / "disk.sock"))
    assert client.recv(18, socket.MSG_WAITALL)[:16] == b"NBDMAGICIHAVEOPT"
    client.sendall(struct.pack(">I", 1) + struct.pack(">8sII4s", b"IHAVEOPT", 1, 4, b"disk"))
    size, _, padding = struct.unpack(">QH124s", client.recv(134, socket.MSG_WAITALL))
    assert (size, padding) == (disk.server.export.size, bytes(124))


@pytest.mark.parametrize(
    "said",
    [
        b"\0\0\0\1" + b"nonsense" * 2,
        b"\0\0\0\1" + struct.pack(">8sII", b"IHAVEOPT", 7, 1 << 31),
        b"\0\0\0\1" + struct.pack(">8sII4s", b"IHAVEOPT", 1, 4, b"disk") + bytes(28),
        b"\0\0\0\1" + struct.pack(">8sII", b"IHAVEOPT", 7, 2) + b"xx",
        b"\0\0\0\1" + struct.pack(">8sII", b"IHAVEOPT", 1, 4) + b"\xff\xfe\xfd\xfc",
    ],
    ids=["magic", "endless", "request", "short", "text"],
)
def test_who_breaks_the_protocol_is_left(serve: Serve, said: bytes) -> None:
    disk = serve(DISK)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(disk.folder / "disk.sock"))
        client.sendall(said)
        # What was answered before may come; then the end, in order or not.
        with contextlib.suppress(ConnectionResetError):
            while client.recv(1000):
                pass
    assert len(disk.server.refused) == 1
    assert "read 512/512" in disk.io("read 0 512")


@settings(deadline=None)
@given(data=st.data())
def test_bytes_may_come_in_any_pieces(data: st.DataObject) -> None:
    said = b"\0\0\0\3" + struct.pack(">8sII", b"IHAVEOPT", 8, 0)
    said += struct.pack(">8sIII4sH", b"IHAVEOPT", 7, 10, 4, b"disk", 0)
    said += (
        struct.pack(">IHHQQI", 0x25609513, 1, 1, 5, 512, 4)
        + b"abcd"
        + struct.pack(">IHHQQI", 0x25609513, 0, 3, 6, 0, 0)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=8)))
    connection = Connection(DISK)
    got = [
        request
        for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True)
        for request in connection.receive(said[start:end])
    ]
    assert [(item.kind, item.cookie, item.offset, item.data) for item in got] == [
        (Kind.WRITE, 5, 512, b"abcd"),
        (Kind.FLUSH, 6, 0, b""),
    ]
    assert connection.structured


RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=12)


@settings(deadline=None)
@given(ranges=RANGES, expected=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)), max_size=6))
def test_coverage(ranges: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    size = 64
    counts = [sum(offset <= at < offset + length for offset, length in ranges) for at in range(size)]
    parts = list(covered(size, ranges))
    assert [times for part in parts for times in [part.times] * part.length] == counts
    assert all(left.times != right.times for left, right in pairwise(parts))
    apart, at = [], 0
    for gap, length in expected:
        apart.append((at + gap, min(length, size - at - gap)))
        at += gap + length
    apart = [(offset, length) for offset, length in apart if length > 0]
    wanted = [sum(offset <= at < offset + length for offset, length in apart) for at in range(size)]
    for elsewhere in (False, True):
        wrong = not_covered_once(size, ranges, apart, elsewhere=elsewhere)
        bad = {at for part in wrong for at in range(part.offset, part.offset + part.length)}
        assert bad == {at for at in range(size) if counts[at] != wanted[at] and (wanted[at] or not elsewhere)}


def test_what_is_written_in_pieces() -> None:
    assert in_pieces([(0, 8), (8, 4), (12, 4)], [(0, 8), (2, 3), (8, 8), (12, 4), (20, 1)]) == [(8, 8), (20, 1)]


OFFSETS = st.integers(0, 4 * PIECE_SIZE).map(lambda value: value if value % 3 else value // PIECE_SIZE * PIECE_SIZE)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "zero", "trim"]), OFFSETS, st.integers(1, 3 * PIECE_SIZE), st.integers(0, 2)
        ),
        max_size=6,
    )
)
def test_storage(changes: list[tuple[str, int, int, int]]) -> None:
    size = 8 * PIECE_SIZE
    storage, model = Storage(size), bytearray(size)
    for what, offset, length, pattern in changes:
        data = bytes([pattern if what == "write" else 0]) * length
        if what == "write":
            storage.write(offset, data)
        else:
            storage.zero(offset, length, hole=what == "trim")
        model[offset : offset + length] = data
    assert storage.read(0, size) == model
    at = 0
    for length, state in storage.extents(0, size):
        assert not (state & STATE_ZERO and any(model[at : at + length]))
        at += length
    assert at == size


def test_everything_that_can_be_left_out_is_offered() -> None:
    assert Feature(0) == EVERYTHING & (Feature.READ_ONLY | Feature.HAS_FLAGS)
