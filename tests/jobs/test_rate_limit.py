"""The speed of a job, on a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.block.rate_limit import SLICE_S, RateLimit

MiB = 1024 * 1024


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limit(speed: int) -> tuple[RateLimit, Clock]:
    clock = Clock()
    rate = RateLimit(clock)
    rate.set_speed(speed)
    return rate, clock


def test_without_a_speed_there_is_no_delay() -> None:
    rate, _ = limit(0)
    rate.charge(1 << 40)
    assert rate.delay_s() == 0.0


def test_the_first_chunk_goes_through_however_large() -> None:
    rate, _ = limit(1)
    assert rate.delay_s() == 0.0
    rate.charge(MiB)
    assert rate.delay_s() > 3600


def test_a_chunk_of_a_second_is_followed_by_the_next_a_second_later() -> None:
    rate, clock = limit(MiB)
    rate.charge(MiB)
    assert abs(rate.delay_s() - 1.0) < 1e-5
    clock.now += 0.5
    assert abs(rate.delay_s() - 0.5) < 1e-5
    clock.now += 0.6
    assert rate.delay_s() == 0.0


def test_what_was_charged_counts_also_for_who_asks_late() -> None:
    rate, clock = limit(1)
    rate.charge(MiB)
    clock.now += 10 * SLICE_S
    assert rate.delay_s() > 3600


def test_a_higher_speed_counts_at_once_and_what_was_charged_stays() -> None:
    rate, _ = limit(1)
    rate.charge(MiB)
    rate.set_speed(2)
    assert rate.delay_s() > 3600
    rate.set_speed(MiB)
    assert rate.delay_s() < 1.1
    rate.set_speed(0)
    assert rate.delay_s() == 0.0


@given(speed=st.integers(10, 1 << 32), chunks=st.lists(st.integers(1, 4 * MiB), min_size=2, max_size=50))
def test_over_time_the_speed_is_kept(speed: int, chunks: list[int]) -> None:
    rate, clock = limit(speed)
    start = clock.now
    for chunk in chunks:
        while (delay := rate.delay_s()) > 0:
            clock.now += delay
        rate.charge(chunk)
    # A slice that is under its quota takes one chunk more, so each slice may exceed it by less than that chunk.
    allowed = int(speed * SLICE_S) * ((clock.now - start) / SLICE_S + 1)
    assert sum(chunks[:-1]) <= allowed * (1 + 1e-6) + len(chunks)
