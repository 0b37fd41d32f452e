"""Bitmaps as a case uses them, tried on the real QEMU."""

from collections.abc import Callable

from backcheck import Bitmap, Case, KiB, MiB, between
from backcheck.golden.grammar import render_line
from backcheck.implementation import Implementation
from backcheck.running.result import Outcome
from tests.harness.conftest import RunStory
from tests.harness.stories import commands, entries, passed


def test_commands_and_what_queries_tell(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB)
        owed = disk.add_bitmap("b0", granularity=64 * KiB)
        disk.write(0x11, offset=64 * KiB, length=65 * KiB)
        owed.expect(count=128 * KiB, granularity=64 * KiB, recording=True, busy=False, inconsistent=False)
        off = disk.add_bitmap("off", persistent=True, disabled=True).expect(count=0, recording=False, persistent=True)
        off.merge("b0", owed, {"node": "disk0-node", "name": "b0"}).expect_same_bits(owed).enable()
        owed.disable().clear().expect(count=between(0, 0))
        assert (owed.count, off.count) == (0, 128 * KiB)
        assert t.bitmap(disk, "b0").exists()
        owed.expect_refused("merge", "nope", error="Dirty bitmap 'nope' not found")
        owed.remove()
        assert not t.bitmap("disk0-node", "b0").exists()
        owed.expect_refused("clear")
        assert [bitmap["name"] for bitmap in t.node_bitmaps(disk)] == ["off"]
        off.record()

    result = passed(run_story(qemu, story))
    lines = [render_line([entry]) for entry in entries(result)]
    assert lines == [
        "-> block-dirty-bitmap-add node=disk0-node name=b0 granularity=65536",
        "<- {}",
        "guest disk0: write 0x11 offset=65536 length=66560 -> ok",
        "bitmap disk0-node/b0: count=131072 granularity=65536 recording=true busy=false",
        "-> block-dirty-bitmap-add node=disk0-node name=off persistent=true disabled=true",
        "<- {}",
        "bitmap disk0-node/off: count=0 recording=false persistent=true",
        "-> block-dirty-bitmap-merge node=disk0-node target=off "
        "bitmaps[0]=b0 bitmaps[1]=b0 bitmaps[2].node=disk0-node bitmaps[2].name=b0",
        "<- {}",
        "-> block-dirty-bitmap-enable node=disk0-node name=off",
        "<- {}",
        "-> block-dirty-bitmap-disable node=disk0-node name=b0",
        "<- {}",
        "-> block-dirty-bitmap-clear node=disk0-node name=b0",
        "<- {}",
        "bitmap disk0-node/b0: count=(asserted)",
        "-> block-dirty-bitmap-merge node=disk0-node target=b0 bitmaps[0]=nope",
        "<- GenericError \"Dirty bitmap 'nope' not found\"",
        "-> block-dirty-bitmap-remove node=disk0-node name=b0",
        "<- {}",
        "-> block-dirty-bitmap-clear node=disk0-node name=b0",
        "<- GenericError \"Dirty bitmap 'b0' not found\"",
        "bitmap disk0-node/off: count=131072 granularity=65536 recording=true busy=false persistent=true",
    ]


def test_a_bitmap_of_another_node_is_merged_by_node(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        disk, other = t.drive("disk0", size=MiB), t.drive("disk1", size=MiB)
        theirs = other.add_bitmap("b")
        other.write(0x11, offset=0, length=1)
        disk.add_bitmap("b").merge(theirs).expect(count=64 * KiB).expect_same_bits(theirs)

    assert commands(passed(run_story(qemu, story)))[-1].arguments["bitmaps"] == [{"node": "disk1-node", "name": "b"}]


def expect_failure(
    qemu: Implementation, run_story: RunStory, wrong: Callable[[Case, Bitmap], None], reason: str
) -> None:
    """A story with a bitmap that has one dirty cluster, and the wrong expectation, fails for that reason."""

    def story(t: Case) -> None:
        disk = t.drive("disk0", size=MiB)
        owed = disk.add_bitmap("b0", granularity=64 * KiB)
        disk.write(0x11, offset=0, length=1)
        wrong(t, owed)

    result = run_story(qemu, story)
    assert result.outcome is Outcome.FAILED
    assert result.reason.endswith(reason)


def test_a_wrong_expectation_fails_the_case(qemu: Implementation, run_story: RunStory) -> None:
    def count(t: Case, owed: Bitmap) -> None:
        owed.expect(count=0, busy=False)

    def bits(t: Case, owed: Bitmap) -> None:
        t.bitmap("disk0-node", "b1").add().expect_same_bits(owed)

    def refused(t: Case, owed: Bitmap) -> None:
        owed.expect_refused("clear", error="Bitmap is busy")

    def absent(t: Case, owed: Bitmap) -> None:
        t.bitmap("disk0-node", "nope").expect(count=0)

    expect_failure(qemu, run_story, count, "bitmap disk0-node/b0\n  expected: count=0\n       got: count=65536")
    expect_failure(qemu, run_story, refused, "expected: 'Bitmap is busy'\n       got: success")
    expect_failure(qemu, run_story, absent, "expected: that bitmap\n       got: none of that name")
    expect_failure(qemu, run_story, bits, "got: af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc")


def test_bitmaps_of_images(qemu: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        image = t.image("disk0.img", size=MiB)
        image.add_bitmap("b0", granularity=32 * KiB)
        image.add_bitmap("off", enabled=False)
        image.img_bitmap("--merge", "b0", "off")
        assert image.bitmaps() == [
            {"flags": ["auto"], "name": "b0", "granularity": 32 * KiB},
            {"flags": [], "name": "off", "granularity": 64 * KiB},
        ]
        disk = t.drive("disk0", image=image)
        t.bitmap(disk, "b0").expect(persistent=True, recording=True, granularity=32 * KiB)
        t.bitmap(disk, "off").expect(persistent=True, recording=False)

    passed(run_story(qemu, story))
