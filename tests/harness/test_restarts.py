"""Machines that end and start again, and disks that change their size, tried on the real QEMU."""

import pytest

from backcheck import Case, KiB, MiB
from backcheck.implementation import Implementation
from backcheck.running.result import Outcome
from tests.harness.conftest import RunStory
from tests.harness.stories import commands, passed, statuses

SLOW = 64 * KiB


def unpaused(told: list[str]) -> list[str]:
    """The states without the pairs that drained sections make."""
    return [
        status
        for place, status in enumerate(told)
        if status != "paused" and told[max(0, place - 1) : place] != ["paused"]
    ]


def test_a_restart_keeps_drives_nodes_and_persistent_bitmaps(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=4 * MiB)
        kept = disk.add_bitmap("kept", persistent=True)
        lost = disk.add_bitmap("lost")
        disk.write(0x11, offset=0, length=MiB)
        late, gone = t.node("late", size=4 * MiB), t.node("gone", size=MiB)
        t.qmp("blockdev-del", node_name="gone")
        gone.expect_identical(gone)
        t.blockdev_backup(disk, late, auto_dismiss=False).wait().expect_completed()
        t.step("again")
        t.restart("-blockdev", "driver=null-co,node-name=extra,size=1048576")
        kept.expect(count=MiB, persistent=True, recording=True)
        assert not lost.exists()
        assert {"late", "extra", "disk0-node"} <= {str(node["node-name"]) for node in t.nodes()}
        assert gone.node_name not in [node["node-name"] for node in t.nodes()]
        job = t.blockdev_backup(disk, late, sync="incremental", bitmap=kept)
        assert job.id == "job1"
        job.wait().expect(len=MiB)
        disk.write(0x22, offset=0, length=512)
        t.shutdown()
        late.expect_identical(disk.content.written(0x11, 0, 512))
        t.start()
        disk.read(0x22, offset=0, length=512)

    result = passed(run_story(qemu, story))
    assert unpaused(statuses(result, "again")) == ["created", "running", "waiting", "pending", "concluded", "null"]
    assert [command.name for command in commands(result, "again")] == ["blockdev-backup"]
    assert [step.title for step in result.transcript.steps] == [None, "again"]


def test_a_killed_machine_starts_again_by_its_next_use(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=4 * MiB, breakpoints=True)
        disk.add_bitmap("b0", persistent=True)
        disk.write(0x11, offset=0, length=4 * MiB)
        disk.flush()
        t.backup(disk, speed=SLOW).wait_offset()
        disk.hold("write_aio")
        disk.aio_write(0x22, offset=0, length=512)
        t.step("killed")
        t.kill()
        disk.expect_identical(disk)
        assert disk.image.bitmaps() == []
        disk.write(0x33, offset=0, length=512)
        job = t.backup(disk, "after.img").wait().expect_completed()
        job.target.expect_identical(disk)

    result = passed(run_story(qemu, story))
    assert unpaused(statuses(result, "killed")) == ["created", "running", "waiting", "pending", "concluded", "null"]
    assert [step.title for step in result.transcript.steps] == [None, "killed"]


def test_a_bitmap_in_use_when_the_machine_was_killed(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        image = t.image("disk0.img", size=MiB)
        image.add_bitmap("b0")
        disk = t.drive("disk0", image=image)
        disk.write(0x11, offset=0, length=512)
        t.kill()
        t.bitmap(disk, "b0").expect(inconsistent=True, recording=False)

    passed(run_story(qemu, story))


def test_after_quit_it_starts_when_it_is_told_to(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB)
        t.quit()
        t.start()
        disk.write(0x11, offset=0, length=512)
        t.shutdown()
        disk.write(0x22, offset=0, length=512)

    result = run_story(qemu, story)
    assert result.outcome is Outcome.BROKEN
    assert "the machine has been shut down; t.start() starts it again" in result.reason


def test_a_machine_that_does_not_run_cannot_be_killed(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.drive("disk0", size=MiB)
        t.kill()

    assert run_story(qemu, story).reason.endswith("no machine runs that could be killed")


@pytest.mark.parametrize("format_name", ["qcow2", "raw"])
def test_a_disk_is_resized(qemu: Implementation, run_story: RunStory, format_name: str) -> None:
    def story(t: Case) -> None:
        disk, node = t.drive("disk0", size=2 * MiB), t.node("node0", size=MiB)
        disk.write(0x11, offset=0, length=2 * MiB)
        disk.resize(MiB)
        disk.resize(3 * MiB)
        node.resize(2 * MiB)
        disk.write(0x22, offset=3 * MiB - 512, length=512)
        t.shutdown()
        assert disk.content.read(MiB - 1, 2) == b"\x11\0"
        assert disk.image.size == 3 * MiB
        disk.expect_identical(disk)
        node.expect_identical(node)

    result = passed(run_story(qemu, story, format_name=format_name))
    assert [command.arguments for command in commands(result)] == [
        {"device": "disk0", "size": MiB},
        {"device": "disk0", "size": 3 * MiB},
        {"node-name": "node0", "size": 2 * MiB},
    ]
