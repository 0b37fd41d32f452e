"""What tests of the model share: the implementations that programs run on."""

import pytest

from backcheck.implementation import Implementation, find_implementation
from tests.harness.conftest import qemu
from tests.model.running import with_real_tools

__all__ = ["qemu"]


@pytest.fixture(scope="session")
def engine() -> Implementation:
    """The engine, judged by the installed tools where there are any."""
    return with_real_tools(find_implementation("engine"))


@pytest.fixture(scope="session")
def side_by_side(engine: Implementation, request: pytest.FixtureRequest) -> list[Implementation]:
    """The engine, and what `--on` names."""
    return [engine, *(find_implementation(name) for name in request.config.getoption("--on"))]
