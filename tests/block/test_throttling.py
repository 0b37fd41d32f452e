"""I/O limits: their arithmetic on a clock of the test, who waits for whom, and what contradicts itself."""

import asyncio

import pytest

from backcheck_engine.block.throttle_group import ThrottleGroup, ThrottleMember
from backcheck_engine.block.throttling import IoDirection, Throttle, ThrottleLimits
from backcheck_engine.errors import BlockError
from tests.block.loop import run

READ, WRITE = IoDirection.READ, IoDirection.WRITE
KiB = 1024


def passed(throttle: Throttle, direction: IoDirection, length: int, *, seconds: float) -> int:
    """How many requests of `length` bytes get through in so many seconds, one after the other."""
    now, count = 0.0, 0
    while True:
        now += throttle.wait_s(direction, now)
        if now >= seconds:
            return count
        throttle.account(direction, length)
        count += 1


@pytest.mark.parametrize(
    ("members", "length", "expected"),
    [
        ({"bps-total": 64 * KiB}, 4 * KiB, 160),
        ({"bps-write": 64 * KiB}, 64 * KiB, 10),
        ({"bps-read": 64 * KiB}, 4 * KiB, None),
        ({"iops-total": 5}, 1 << 20, 50),
        ({"iops-total": 5, "iops-size": 4 * KiB}, 8 * KiB, 25),
        ({"bps-total": 64 * KiB, "iops-total": 2}, 4 * KiB, 20),
    ],
)
def test_over_ten_seconds_the_average_is_kept(members: dict[str, int], length: int, expected: int | None) -> None:
    throttle = Throttle(ThrottleLimits.from_qapi(members), 0.0)
    if expected is None:
        assert throttle.wait_s(WRITE, 0.0) == 0.0
        throttle.account(WRITE, 1 << 30)
        assert throttle.wait_s(WRITE, 0.0) == 0.0
        return
    slack = members.get("bps-total", members.get("bps-write", 0)) // 10 // length + 2
    assert expected <= passed(throttle, WRITE, length, seconds=10.0) <= expected + slack


def test_a_burst_goes_at_its_own_rate_for_its_length() -> None:
    limits = ThrottleLimits.from_qapi({"iops-total": 10, "iops-total-max": 100, "iops-total-max-length": 3})
    burst = passed(Throttle(limits, 0.0), READ, 1, seconds=3.0)
    assert 300 <= burst <= 330
    assert passed(Throttle(limits, 0.0), READ, 1, seconds=23.0) <= burst + 10 * 20 + 30


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"bps-total": -1}, "bps/iops/max values must be within [0, 1000000000000000]"),
        ({"bps-total": 10**15 + 1}, "bps/iops/max values must be within [0, 1000000000000000]"),
        ({"bps-total": 1, "bps-read": 1}, "total values and read/write values cannot be used at the same time"),
        ({"iops-size": 1}, "iops size requires an iops value to be set"),
        ({"iops-total-max": 1}, "bps_max/iops_max require corresponding bps/iops values"),
        ({"iops-total": 2, "iops-total-max": 1}, "bps_max/iops_max cannot be lower than bps/iops"),
        ({"iops-total": 1, "iops-total-max-length": 0}, "the burst length cannot be 0"),
        ({"iops-total": 1, "iops-total-max-length": 2}, "burst length set without burst rate"),
        (
            {"iops-total": 1, "iops-total-max": 10**9, "iops-total-max-length": 10**9},
            "burst length too high for this burst rate",
        ),
    ],
)
def test_limits_that_contradict_themselves_are_refused(members: dict[str, int], text: str) -> None:
    with pytest.raises(BlockError) as caught:
        ThrottleLimits.from_qapi(members)
    assert text in str(caught.value)


async def _start(members: list[ThrottleMember], order: list[int]) -> list["asyncio.Task[None]"]:
    """Let each member ask twice; the order in which they are admitted comes into `order`."""

    async def ask(number: int) -> None:
        await members[number].admit(WRITE, 1)
        order.append(number)

    tasks = [asyncio.create_task(ask(number)) for number in range(len(members)) for _ in range(2)]
    await asyncio.sleep(0)
    return tasks


def test_members_take_turns() -> None:
    async def scenario() -> list[int]:
        group = ThrottleGroup("group", ThrottleLimits.from_qapi({"iops-total": 1}))
        members = [ThrottleMember(group) for _ in range(3)]
        order: list[int] = []
        tasks = await _start(members, order)
        group.configure(ThrottleLimits.from_qapi({"iops-total": 10**6}))
        await asyncio.gather(*tasks)
        return order

    admitted = run(scenario())
    waiting = admitted[-4:]
    assert sorted(admitted) == [0, 0, 1, 1, 2, 2]
    assert waiting[0] != waiting[1]


def test_a_drained_member_holds_nothing_back() -> None:
    async def scenario() -> None:
        group = ThrottleGroup("group", ThrottleLimits.from_qapi({"iops-total": 1}))
        members = [ThrottleMember(group), ThrottleMember(group)]
        order: list[int] = []
        tasks = await _start(members, order)
        before = order.count(1)
        members[1].drain_begin()
        await asyncio.gather(*tasks[2:])
        assert (before, order.count(1)) == (0, 2)
        members[1].drain_end()
        members[0].leave()
        await asyncio.gather(*tasks)
        assert group.members == [members[1]]

    run(scenario())
