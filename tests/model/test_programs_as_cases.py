"""A program is a case: its text, what it finds, and what the simple model says where QEMU is known to say it."""

from dataclasses import replace
from pathlib import Path

import pytest

from backcheck.implementation import Implementation
from backcheck.running.result import Outcome
from tests.model.backups import Backup, Proceed, Target
from tests.model.bitmaps import AddBitmap
from tests.model.disks import Bitmap, Disk, KiB, MiB, Pace
from tests.model.guest import Write
from tests.model.layout import laid_out
from tests.model.machine import Kill, Transaction
from tests.model.programs import programs
from tests.model.running import run_source
from tests.model.source import Program, case_source, told
from tests.model.world import DiskSetup, Layer, Setup

TEXT = '''\
"""A program of the model keeps what it promises."""

import errno

from backcheck import Action, Case, FailOnce, KiB, MiB, case


@case(rules=["SYNC-11"], groups=["model"], formats=["qcow2"])
def run(t: Case) -> None:
    disk0_base0 = t.image("disk0.base0.img", size=512 * KiB, format="raw")
    disk0_base0.write(0xB0, offset=0, length=512 * KiB)
    disk0_image = t.image("disk0.img", size=MiB, format="qcow2", backing=disk0_base0, options={"cluster_size": "4k"})
    disk0 = t.drive("disk0", image=disk0_image)
    b0 = disk0.add_bitmap("b0", granularity=4 * KiB, persistent=True)
    disk0.write(0x11, offset=100000, length=1)

    t.step("job0")
    before_job0 = disk0.content
    target0 = t.node("target0", size=MiB, format="qcow2", fault=FailOnce("write", errno.EIO))
    job0 = t.blockdev_backup(disk0, target0, sync="incremental", on_target_error="stop", bitmap=b0)
    job0.event("BLOCK_JOB_ERROR", operation="write", action="stop")
    job0.reach("paused")
    disk0.write(0x22, offset=0, length=4 * KiB)
    job0.resume().wait().expect_completed()
    b0.expect(count=4 * KiB, recording=True, busy=False, persistent=True)
    t.expect("bits of b0", b0.sha256(), "01d0fabd251fcbbe2b93b4b927b26ad2a1a99077152e45ded1e678afa45dbec5")
    t.qmp("blockdev-del", node_name="target0")
    target0.image.expect_content(before_job0.only((64 * KiB, 64 * KiB)))
    target0.image.expect_clean(leaks=True)

    t.step("a transaction is undone")
    t.expect_transaction_error(
        disk0.add_bitmap_action("b1"),
        t.drive_backup_action(disk0, "job1.img", sync="bitmap", bitmap=b0, bitmap_mode="never"),
        Action("abort"),
        error="Transaction aborted using Abort action",
    )

    disk0.flush()
    t.step("kill")
    t.kill()
    t.start()

    t.step("the end")
    t.shutdown()
    disk0.image.expect_content(disk0.content)
    disk0.image.expect_clean(leaks=True)
    t.expect("bitmaps in disk0.img", sorted(str(bitmap["name"]) for bitmap in disk0.image.bitmaps()), [])
'''
PROGRAM = Program(
    setup=Setup(
        disks=(
            DiskSetup(
                layers=(
                    Layer(format="raw", size=512 * KiB, fill=(0xB0, 0, 512 * KiB)),
                    Layer(format="qcow2", size=MiB, cluster=4 * KiB),
                ),
            ),
        ),
    ),
    operations=(
        AddBitmap(disk="disk0", granularity=4 * KiB, persistent=True, disabled=False),
        Write(disk="disk0", pattern=0x11, offset=100_000, length=1),
        Backup(disk="disk0", sync="incremental", target=Target(kind="node"), pace=Pace.STOPPED, bitmap="b0"),
        Write(disk="disk0", pattern=0x22, offset=0, length=4 * KiB),
        Proceed(disk="disk0"),
        Transaction(
            actions=(
                AddBitmap(disk="disk0", granularity=None, persistent=False, disabled=False),
                Backup(disk="disk0", sync="bitmap", target=Target(kind="file"), bitmap="b0", mode="never"),
            ),
            grouped=False,
            abort=True,
        ),
        Kill(),
    ),
)


def text_of(program: Program) -> str:
    return case_source(told(program))


def run(source: str, implementation: Implementation, folder: Path) -> str:
    """Why it failed, or nothing."""
    result = run_source(source, implementation, folder)
    assert result.outcome in (Outcome.PASSED, Outcome.FAILED), result.reason
    return result.reason


def test_a_program_as_a_case() -> None:
    assert text_of(PROGRAM) == TEXT


def test_it_holds_on_qemu(qemu: Implementation, tmp_path: Path) -> None:
    assert run(TEXT, qemu, tmp_path) == ""


def test_it_holds_on_the_engine(engine: Implementation, tmp_path: Path) -> None:
    assert run(TEXT, engine, tmp_path) == ""


def forgets_the_successor(bitmap: Bitmap, mode: str, **_: object) -> None:
    bitmap.successor = None


def marks_nothing(bitmap: Bitmap, offset: int, length: int) -> None:
    """As if writes were not noted."""


def rounds_nothing(disk: Disk, sync: str, bitmap: Bitmap | None, cluster: int) -> set[int]:
    """As if a job copied nothing."""
    return set()


@pytest.mark.parametrize(
    ("owner", "name", "wrong", "found"),
    [
        (Bitmap, "settle", forgets_the_successor, "bitmap disk0-node/b0"),
        (Bitmap, "mark", marks_nothing, "target0.img at offset 65536"),
        (Disk, "clusters_of", rounds_nothing, "target0.img at offset 65536"),
    ],
)
def test_a_difference_from_the_model_is_found(
    engine: Implementation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    wrong: object,
    found: str,
) -> None:
    monkeypatch.setattr(owner, name, wrong)
    operations = tuple(
        replace(step, pace=Pace.STRAIGHT) if isinstance(step, Backup) else step
        for step in PROGRAM.operations
        if not isinstance(step, Proceed)
    )
    source = text_of(replace(PROGRAM, operations=operations))
    assert found in run(source, engine, tmp_path)


def test_the_same_seed_gives_the_same_programs() -> None:
    first, again, other = (programs(seed, 10) for seed in (7, 7, 8))
    assert first == again != other


def test_every_program_fits_the_page() -> None:
    for program in programs(9, 20):
        source = text_of(program)
        compile(source, "900_a_program.py", "exec")
        assert max(len(line) for line in source.split("\n")) <= 120


def test_long_statements_are_laid_out() -> None:
    inner = ", ".join(f"({number} * KiB, 64 * KiB)" for number in range(8))
    assert laid_out(f"    x.expect({inner})".strip(), 4) == [
        "    x.expect(",
        *(f"        ({number} * KiB, 64 * KiB)," for number in range(8)),
        "    )",
    ]
    assert laid_out('x = t.expect("a(, b", [1, 2])', 4) == ['    x = t.expect("a(, b", [1, 2])']
