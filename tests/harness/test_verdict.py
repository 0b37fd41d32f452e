"""Verdicts: who is wrong, from the records of several implementations."""

import pytest

from backcheck.running.judgement import Judgement, Record
from backcheck.running.verdict import verdict


def record(implementation: str, difference: str = "", format: str = "qcow2", **more: object) -> Record:
    judgement = more.pop("judgement", Judgement.DIFFERS if difference else Judgement.PASSED)
    return Record(
        number="112",
        slug="x",
        implementation=implementation,
        release=implementation.partition("-")[2] or "10.0",
        format=format,
        judgement=judgement,  # type: ignore[arg-type]
        difference=tuple(difference.split()),
    )


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record("engine"), record("qemu-7.2")], None),
        ([record("engine", "a")], "engine differs"),
        ([record("engine", "a", "raw"), record("engine")], "engine differs on raw"),
        (
            [record("engine", "a"), record("qemu-7.2"), record("qemu-10.0")],
            "the engine alone differs; qemu-7.2 and qemu-10.0 agree with the golden",
        ),
        ([record("engine", "a"), record("qemu-7.2")], "the engine alone differs; qemu-7.2 agrees with the golden"),
        (
            [record("engine"), record("qemu-5.2", "a"), record("qemu-7.2")],
            "qemu-5.2 alone differs; engine and qemu-7.2 agree with the golden",
        ),
        (
            [record("engine", "a"), record("qemu-5.2", "b"), record("qemu-7.2")],
            "engine and qemu-5.2 differ; qemu-7.2 agrees with the golden",
        ),
        (
            [record("engine", "a"), record("qemu-5.2", "a"), record("qemu-7.2", "a")],
            "the golden is stale: engine, qemu-5.2 and qemu-7.2 all agree against it",
        ),
        (
            [
                record("engine", "a"),
                record("engine", "b", "raw"),
                record("qemu-5.2", "a"),
                record("qemu-5.2", "b", "raw"),
            ],
            "the golden is stale: engine and qemu-5.2 all agree against it",
        ),
        (
            [record("engine", "a"), record("qemu-5.2", "b")],
            "engine and qemu-5.2 all differ from the golden, and not alike",
        ),
        (
            [record("engine", "a"), record("qemu-5.2", judgement=Judgement.CRASHED)],
            "engine differs",
        ),
        ([record("engine", judgement=Judgement.SKIPPED)], None),
        ([record("engine", judgement=Judgement.FAILED)], None),
    ],
)
def test_who_is_wrong(records: list[Record], expected: str | None) -> None:
    assert verdict(records) == expected
