"""What every test here shares: a time limit, and how often a random test repeats itself."""

import os
import random
import signal
from collections.abc import Callable

import pytest
from hypothesis import settings

TIMEOUT_S = 120
SOAK_TIMEOUT_S = 1800
SOAK_FACTOR = 10
SEED = 1

# Soaks look for what nobody knows yet. A change, though, is judged by what it changes: its tests repeat themselves.
settings.register_profile("tests", deadline=None, print_blob=True, derandomize=True)
settings.register_profile(
    "soak", deadline=None, print_blob=True, max_examples=settings.default.max_examples * SOAK_FACTOR
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long random tests in full")
    parser.addoption(
        "--on",
        action="append",
        default=[],
        metavar="IMPLEMENTATION",
        help="run random programs on this implementation (`qemu`, `qemu-10.0`, a path) beside the engine",
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("soak" if config.getoption("--soak") else "tests")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # In a background job of a shell it is ignored, which the programs that tests interrupt would inherit.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    soak = config.getoption("--soak")
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SOAK_TIMEOUT_S if soak else TIMEOUT_S))
        if not soak and item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="a long test: tox -e soak"))


@pytest.fixture(scope="session")
def repetitions(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How many rounds of ``full`` to make: all of them in a soak, else a tenth, at least one."""
    soak = request.config.getoption("--soak")
    return lambda full: full if soak else max(1, full // SOAK_FACTOR)


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether the long random tests run in full."""
    return bool(request.config.getoption("--soak"))


@pytest.fixture
def first_seed(soak: bool) -> int:
    """Where a random test begins: BACKCHECK_SEED, else in a soak anywhere, else always the same."""
    seed = os.environ.get("BACKCHECK_SEED") or (random.randrange(1 << 30) if soak else SEED)
    return int(seed)
