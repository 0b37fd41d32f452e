"""qed, vdi, vpc and vhdx: images are made as QEMU makes them and can be looked at; nobody can use their data."""

from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.drivers.creation import create_options, help_lines
from backcheck_engine.errors import BlockError, EngineError
from tests.qcow1.disks import make, opened
from tests.qcow2.qemu import needs_qemu, qemu_img, run, tool

KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30
TiB = 1 << 40
RANDOM: dict[str, tuple[tuple[int, int], ...]] = {
    "qed": (),
    "vdi": ((0x188, 32),),
    "vpc": ((24, 4), (64, 20), (-488, 4), (-448, 20)),
    "vhdx": ((8, 64), (0x10004, 44), (0x20004, 44), (0x310010, 16), (0x410010, 16)),
}
"""Where the file has a time, an identity, its maker's name, and what is computed from them."""
IMAGES: list[tuple[str, int, dict[str, str]]] = [
    ("qed", 4 * MiB, {}),
    ("qed", 1000, {"cluster_size": "4k", "table_size": "2"}),
    ("qed", 0, {}),
    ("vdi", 4 * MiB, {}),
    ("vdi", 5000 * KiB, {"static": "on"}),
    ("vdi", 100 * GiB, {}),
    ("vdi", 0, {}),
    ("vpc", 4 * MiB, {}),
    ("vpc", 4 * MiB, {"force_size": "on"}),
    ("vpc", 512, {}),
    ("vpc", 0, {}),
    ("vpc", 600 * MiB, {}),
    ("vpc", 40 * GiB, {}),
    ("vpc", TiB, {}),
    ("vhdx", 4 * MiB, {}),
    ("vhdx", 10 * MiB, {"block_size": "1M", "block_state_zero": "off"}),
    ("vhdx", 10 * MiB, {"block_size": "512k", "log_size": "2M"}),
    ("vhdx", 33 * GiB, {}),
]
REFUSED: list[tuple[str, int, dict[str, str]]] = [
    ("qed", 1, {"cluster_size": "2k"}),
    ("qed", 1, {"table_size": "3"}),
    ("qed", 4096 * TiB, {}),
    ("vdi", 4096 * TiB, {}),
    ("vpc", 2 * TiB, {}),
    ("vpc", 1, {"subformat": "nope"}),
    ("vhdx", 65 * TiB, {}),
    ("vhdx", 1, {"log_size": "0"}),
    ("vhdx", 1, {"log_size": "5G"}),
    ("vhdx", 1, {"block_size": "3M"}),
    ("vhdx", 1, {"subformat": "nope"}),
]


def _given(options: dict[str, str]) -> list[str]:
    return [text for name, value in options.items() for text in ("-o", f"{name}={value}")]


def _without_random(format_name: str, data: bytes) -> bytes:
    plain = bytearray(data)
    for place, length in RANDOM[format_name]:
        plain[place % len(plain) : place % len(plain) + length] = bytes(length)
    return bytes(plain)


def _size(image: Path, format_name: str) -> int:
    """What the engine takes the virtual size for."""

    async def body() -> int:
        node = await open_node(Graph(), {"driver": format_name}, filename=str(image))
        try:
            return node.size
        finally:
            await node.unref()

    return run(body)


@needs_qemu
@pytest.mark.parametrize(("format_name", "size", "options"), IMAGES)
def test_it_is_the_file_that_qemu_makes(tmp_path: Path, format_name: str, size: int, options: dict[str, str]) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    make(ours, size, format_name, **options)
    qemu_img("create", "-q", "-f", format_name, *_given(options), theirs, str(size))
    assert _without_random(format_name, ours.read_bytes()) == _without_random(format_name, theirs.read_bytes())

    assert _size(ours, format_name) == size or format_name in ("qed", "vpc")
    assert f'"virtual-size": {_size(ours, format_name)},' in qemu_img("info", "--output=json", "-f", format_name, ours)


@needs_qemu
def test_a_vpc_of_fixed_size_is_known_by_its_end(tmp_path: Path) -> None:
    image = tmp_path / "image"
    qemu_img("create", "-q", "-f", "vpc", "-o", "subformat=fixed", image, "4M")

    assert f'"virtual-size": {_size(image, "vpc")},' in qemu_img("info", "--output=json", "-f", "vpc", image)


@needs_qemu
@pytest.mark.parametrize(("format_name", "size", "options"), REFUSED)
def test_it_is_refused_in_qemus_words(tmp_path: Path, format_name: str, size: int, options: dict[str, str]) -> None:
    image = tmp_path / "image"
    with pytest.raises(EngineError) as caught:
        make(image, size, format_name, **options)
    told = tool("qemu-img", "create", "-q", "-f", format_name, *_given(options), image, str(size)).stderr
    assert told == f"qemu-img: {image}: {caught.value}\n"


@needs_qemu
@pytest.mark.parametrize("format_name", ["qed", "vdi", "vpc", "vhdx"])
def test_the_options_are_qemus(format_name: str) -> None:
    told = qemu_img("create", "-f", format_name, "-o", "help")
    assert [line for line in told.splitlines() if line.startswith("  ")] == help_lines(create_options(format_name))


@needs_qemu
@pytest.mark.parametrize(
    ("format_name", "places"),
    [
        ("qed", [0, 4, 8, 12, 17, 23, 40, 47, 48, 54, 55]),
        ("vdi", [0x40, 0x44, 0x154, 0x158, 0x168, 0x170, 0x176, 0x177, 0x178, 0x180, 0x183, 0x1A8, 0x1B8]),
        ("vpc", [0, 30, 56, 64, 0x200, 0x21C, 0x220, 0x223]),
        ("vhdx", [0, 0x10000, 0x30012, 0x300000, 0x30000B, 0x300020, 0x300032, 0x310003, 0x310008, 0x31000E, 0x310020]),
    ],
)
def test_damaged_headers_are_refused_in_qemus_words(tmp_path: Path, format_name: str, places: list[int]) -> None:
    image = tmp_path / "image"
    make(image, 4 * MiB, format_name)

    async def body() -> None:
        node = await open_node(Graph(), {"driver": format_name, "read-only": True}, filename=str(image))
        await node.unref()

    for place in places:
        with image.open("r+b") as file:
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ 0x81]))
            file.flush()
            told = tool("qemu-img", "info", "-f", format_name, image)
            refusal = ""
            try:
                run(body)
            except BlockError as error:
                refusal = f"qemu-img: Could not open '{image}': {error}"
            assert told.stderr.strip() == refusal, f"byte {place}"
            file.seek(place)
            file.write(bytes([byte]))


@pytest.mark.parametrize("driver", ["qed", "vdi", "vpc", "vhdx", None])
def test_nobody_can_use_it(tmp_path: Path, driver: str | None) -> None:
    image, name = tmp_path / "image", driver or "vdi"
    make(image, 4 * MiB, name)

    async def body() -> None:
        async with opened(image, driver=driver):
            pytest.fail("it was opened for a user")

    with pytest.raises(BlockError) as caught:
        run(body)
    assert str(caught.value) == f"backcheck-engine does not implement the format '{name}' yet"


@pytest.mark.parametrize(("name", "magic"), [("parallels", b"WithoutFreeSpace\2\0\0\0"), ("luks", b"LUKS\xba\xbe\0\1")])
def test_what_another_format_has_is_not_raw(tmp_path: Path, name: str, magic: bytes) -> None:
    image = tmp_path / "image"
    image.write_bytes(magic.ljust(MiB, b"\0"))

    async def body() -> None:
        async with opened(image, driver=None):
            pytest.fail("it was opened")

    with pytest.raises(BlockError) as caught:
        run(body)
    assert str(caught.value) == f"backcheck-engine does not implement the format '{name}' yet"
