"""Who writes and reads compressed images here: the engine, its tools, and a reader with a strict window."""

from collections.abc import Iterator

import pytest

from tests.compression.machine import Machine
from tests.compression.strict_reader import StrictReader, is_installed
from tests.monitor.program import Peer, running
from tests.tools.programs import Bundled


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundled]:
    """The engine's own tools."""
    tools = Bundled(tmp_path_factory.mktemp("bundled"))
    yield tools
    tools.close()


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """A running engine without disks."""
    with running("-qmp", "stdio") as process:
        peer = Peer.of_process(process)
        peer.negotiate()
        yield Machine(peer)


@pytest.fixture(scope="session")
def strict_reader() -> Iterator[StrictReader]:
    """A reader of another project that follows a deflate stream 4 KiB back and no farther."""
    if not is_installed():
        pytest.skip("dissect.hypervisor is not installed: pip install -e '.[test]'")
    reader = StrictReader()
    yield reader
    reader.close()
