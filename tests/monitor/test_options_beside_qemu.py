"""Options of nodes and objects that nothing here needs, taken and refused as real QEMUs do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.monitor.conversation import Step, both, differences
from tests.monitor.program import ENGINE, MACHINE, RELEASES, real_program, running
from tests.tools.programs import Real

pytestmark = pytest.mark.timeout(120)

DEVICE = ("-drive", "if=none,id=d0,driver=host_device,filename=/dev/zero,read-only=on")
FILE = {"driver": "file", "filename": "image.qcow2"}


def secret(name: str, **properties: object) -> Step:
    """`object-add` of a secret."""
    return "object-add", {"qom-type": "secret", "id": name, **properties}


def cleaned(name: str, interval: int) -> Step:
    """`blockdev-add` of an image whose cache is cleaned every so many seconds."""
    options: dict[str, Any] = {"driver": "qcow2", "node-name": name, "read-only": True, "file": FILE}
    return "blockdev-add", {**options, "cache-clean-interval": interval}


STEPS: list[Step] = [
    ("query-block", {}),
    *(cleaned(f"n{number}", number) for number in (0, 2**32 - 1, 2**32, 2**63 - 1)),
    secret("none"),
    secret("two", data="x", file="image.qcow2"),
    secret("gone", file="missing"),
    secret("folder", file="/"),
    secret("file", file="image.qcow2"),
    secret("file", data="x"),
    secret("keyless", data="x", keyid="nokey", iv="x"),
    ("object-del", {"id": "file"}),
]


@pytest.mark.parametrize("release", RELEASES)
def test_options_are_taken_and_refused_alike(release: str, tmp_path: Path) -> None:
    folders = tmp_path / "real", tmp_path / "engine"
    for folder in folders:
        folder.mkdir()
        Real("7.2").do("img", "create", "-q", "-f", "qcow2", "image.qcow2", "1M", folder=folder)
    real, engine = both(release, folders, DEVICE, STEPS)
    for step, expected, answered in zip(STEPS, real.replies, engine.replies, strict=True):
        assert (step, differences(expected, answered)) == (step, [])


@pytest.mark.parametrize(
    "given",
    ["secret,id=x", "secret,id=x,file=no", "iothread,id=x,poll-max-ns=-1", "throttle-group,id=x,x-bps-total-max=5"],
)
@pytest.mark.parametrize("release", RELEASES)
def test_objects_of_the_command_line_are_refused_alike(release: str, given: str, tmp_path: Path) -> None:
    def words(program: tuple[str, ...]) -> tuple[bytes, int]:
        with running("-object", given, program=program, release=release, folder=tmp_path, machine=MACHINE) as process:
            _, complaint = process.communicate()
            return complaint.partition(b": ")[2], process.returncode

    assert words(ENGINE) == words((real_program(release),))
