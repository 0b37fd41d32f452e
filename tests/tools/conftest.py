"""The tools of the engine, and those of real QEMUs beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tools.programs import RELEASES, Bundled, Real


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundled]:
    """The engine's own tools."""
    tools = Bundled(tmp_path_factory.mktemp("bundled"))
    yield tools
    tools.close()


@pytest.fixture(scope="session", params=RELEASES)
def real(request: pytest.FixtureRequest) -> Real:
    """The tools of each release that can be had."""
    return Real(request.param)


@pytest.fixture(scope="session")
def default_release() -> Real:
    """The tools of the release that the engine imitates unless it is told otherwise."""
    return Real("10.0")
