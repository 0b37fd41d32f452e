"""Old data that a filter cannot save, or not in time, fails the guest's write or breaks the view, as it was told."""

import errno

from backcheck import Case, Drive, JsonObject, KiB, MiB, case


@case(
    rules=["FLT-06", "FLT-10"],
    groups=["pull", "filter", "cbw", "error", "quick"],
    requires=["driver:copy-before-write", "driver:snapshot-access"],
    not_on={"qemu<7.1": "a filter has neither on-cbw-error nor cbw-timeout (FLT-10)"},
)
def run(t: Case) -> None:
    guest = t.drive("disk0", size=4 * MiB)
    guest.image.write(0x11)
    store = t.recording_target("store0", size=4 * MiB)
    t.start("-machine", "pc", "-accel", "tcg", "-device", "virtio-blk-pci,id=front0,drive=disk0")

    def put_filter(number: int, options: JsonObject) -> Drive:
        """The guest goes on above a new filter; who reads what that guards."""
        tree: JsonObject = {"driver": "copy-before-write", "file": "disk0-node", "target": "store0", **options}
        t.node(f"filter{number}", tree=tree)
        t.qmp("qom-set", path="front0", property="drive", value=f"filter{number}")
        t.node(f"start{number}", tree={"driver": "snapshot-access", "file": f"filter{number}"})
        return t.guest_on(f"start{number}", guest.image)

    def remove_filter(number: int) -> None:
        t.qmp("blockdev-del", node_name=f"start{number}")
        t.qmp("qom-set", path="front0", property="drive", value="disk0-node")
        t.qmp("blockdev-del", node_name=f"filter{number}")
        store.obey()

    t.step("unless told otherwise the guest's write fails, and the view stays whole")
    reader = put_filter(0, {})
    store.fail("write", errno.ENOSPC, times=1)
    guest.write(0x22, offset=MiB, length=512, expect="No space left on device")
    reader.read(0x11, offset=0, length=4 * MiB)
    guest.write(0x22, offset=MiB, length=512)
    for offset, length in ((0, MiB), (MiB, 64 * KiB), (MiB + 64 * KiB, 2 * MiB)):
        reader.read(0x11, offset=offset, length=length)
    remove_filter(0)

    t.step("or the guest's write goes on, and nobody reads the view any more")
    reader = put_filter(1, {"on-cbw-error": "break-snapshot"})
    guest.write(0x33, offset=0, length=512)
    reader.read(0x11, offset=512, length=MiB - 512)
    store.fail("write", errno.ENOSPC, times=1)
    guest.write(0x33, offset=2 * MiB, length=512)
    saved = len(store.received("write"))
    guest.write(0x33, offset=3 * MiB, length=512)
    for offset in (512, 2 * MiB + 512, 3 * MiB + 512):
        reader.read(0x11, offset=offset, length=512, expect="Permission denied")
    t.expect("writes to the store", len(store.received("write")), saved)
    remove_filter(1)

    for number, policy, told in ((2, "break-guest-write", "Connection timed out"), (3, "break-snapshot", "ok")):
        t.step(f"a target that does not answer for a second: {policy}")
        reader = put_filter(number, {"on-cbw-error": policy, "cbw-timeout": 1})
        held = store.hold("write", offset=MiB + 512 * KiB)
        request = guest.aio_write(0x44, offset=MiB + 512 * KiB, length=512)
        held.wait()
        request.wait(expect=told)
        held.release()
        is_broken = policy == "break-snapshot"
        reader.read(0x11, offset=3 * MiB + 64 * KiB, length=512, expect="Permission denied" if is_broken else "ok")
        remove_filter(number)
