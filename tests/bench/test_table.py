"""The table of a measurement: medians, ratios, and whether a target is met."""

import json

import pytest

from bench.table import Bound, Row, Target, heading, render, to_json

RATIO = Target(bound=Bound.RATIO, most=1.25)
BOTH_WAYS = Target(bound=Bound.BOTH_WAYS, most=1.1)
ENGINE = Target(bound=Bound.ENGINE, most=150)


def make_row(target: Target | None, engine: list[float], qemu: list[float], unit: str = "ms") -> Row:
    return Row(title="a guest write", unit=unit, target=target, engine=engine, qemu=qemu)


@pytest.mark.parametrize(
    ("target", "engine", "qemu", "met"),
    [
        (RATIO, [0.005, 0.001, 0.9], [0.004], True),
        (RATIO, [0.00501], [0.004], False),
        (BOTH_WAYS, [0.0109], [0.01], True),
        (BOTH_WAYS, [0.0092], [0.01], True),
        (BOTH_WAYS, [0.0111], [0.01], False),
        (BOTH_WAYS, [0.0090], [0.01], False),
        (ENGINE, [0.150], [0.001], True),
        (ENGINE, [0.151], [9.0], False),
    ],
)
def test_a_target_bounds_the_ratio_of_medians_or_the_engine(
    target: Target, engine: list[float], qemu: list[float], met: bool
) -> None:
    row = make_row(target, engine, qemu)
    assert row.met() is met
    assert ("MISSED" in render(row)) is not met


def test_a_line_shows_both_medians_their_ratio_and_how_many_samples() -> None:
    line = render(make_row(RATIO, [0.001, 0.002, 0.009], [0.004]))
    assert " ".join(line.split()) == "a guest write 2.0 ms 4.0 ms 0.50 3/1 ratio <= 1.25"
    assert " ".join(heading("QEMU 7.2").split()) == "medians engine QEMU 7.2 ratio samples target"


def test_without_a_target_nothing_is_missed() -> None:
    line = render(make_row(None, [9.0], [0.001], unit="s"))
    assert " ".join(line.split()) == "a guest write 9.00 s 0.00 s 9000.00 1/1 -"


def test_json_keeps_every_sample() -> None:
    (row,) = json.loads(json.dumps(to_json([make_row(ENGINE, [100 * 2.0**20], [2.0**20], unit="MiB")])))
    assert row == {
        "title": "a guest write",
        "unit": "MiB",
        "target": "engine <= 150 MiB",
        "engine": [100 * 2**20],
        "qemu": [2**20],
        "ratio": 100.0,
        "medians": [100.0, 1.0],
        "met": True,
    }
