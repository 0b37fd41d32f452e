"""Random lists of actions, with some that fail, for two disks d0 (n0) and d1 (n1) and the nodes `target` and `overlay`.

Left out is what ends real QEMUs: two users of one disk in a transaction that fails, enabling a bitmap that is not there
or in a group, three jobs in a group, and with 5.2, which is stuck after one that failed, drive-backup.
"""

from __future__ import annotations

import random
from typing import Any, Final, TypeAlias

Action: TypeAlias = "dict[str, Any]"

BITMAPS: Final = ("b0", "b1", "b2")
ALWAYS_THERE: Final = "e0"
_KINDS: Final = {
    "drive-backup": 4,
    "blockdev-backup": 3,
    "block-dirty-bitmap-add": 3,
    "block-dirty-bitmap-clear": 2,
    "block-dirty-bitmap-enable": 2,
    "block-dirty-bitmap-disable": 2,
    "block-dirty-bitmap-merge": 2,
    "block-dirty-bitmap-remove": 2,
    "blockdev-snapshot-sync": 2,
    "blockdev-snapshot": 1,
    "abort": 1,
}


class Author:
    """Writes transactions."""

    def __init__(self, seed: int, *, has_drive_backup: bool = True) -> None:
        self._random = random.Random(seed)
        self._backups = ("drive-backup", "blockdev-backup") if has_drive_backup else ("blockdev-backup",)
        self._free_disks: list[str] = []

    def transaction(self) -> dict[str, Any]:
        """The arguments of the command; about a third are grouped."""
        choose = self._random
        self._free_disks = ["0", "1"]
        if choose.random() < 0.3:
            backups = [self._backup(choose.choice(self._backups)) for _ in range(2)]
            finalized = choose.random() < 0.7
            for backup in backups:
                backup["data"]["auto-finalize"] = finalized
            return {
                "actions": backups[: choose.choice((1, 2, 2))],
                "properties": {"completion-mode": choose.choice(("individual", "grouped", "grouped"))},
            }
        kinds = choose.choices(list(_KINDS), list(_KINDS.values()), k=choose.choice((1, 2, 2, 3, 3, 4, 5)))
        return {"actions": [action for kind in kinds if (action := self._action(kind)) is not None]}

    def _action(self, kind: str) -> Action | None:
        needs_disk = "backup" in kind or "snapshot" in kind
        if needs_disk and not self._free_disks:
            return None
        if "backup" in kind:
            return self._backup(kind if kind in self._backups else "blockdev-backup")
        make = {
            "blockdev-snapshot-sync": self._new_overlay,
            "blockdev-snapshot": self._overlay,
            "block-dirty-bitmap-add": self._new_bitmap,
            "block-dirty-bitmap-merge": self._merge,
            "block-dirty-bitmap-enable": self._enable,
            "abort": dict,
        }.get(kind, self._bitmap)
        return {"type": kind, "data": make()}

    def _disk(self) -> str:
        number = self._random.choice(self._free_disks)
        self._free_disks.remove(number)
        return number

    def _backup(self, kind: str) -> Action:
        choose = self._random
        data = {"device": choose.choice("dn") + self._disk(), "sync": choose.choice(("full", "full", "top"))}
        if choose.random() < 0.2:
            data |= {"sync": "incremental", "bitmap": choose.choice(BITMAPS)}
        if choose.random() < 0.1:
            data["device"] = "nope"
        if choose.random() < 0.8:
            data["job-id"] = choose.choice(("j0", "j1", "j2"))
        if kind == "drive-backup":
            data |= {"target": choose.choice(("x", "y", "z", "no/where")) + ".qcow2", "format": "qcow2"}
        else:
            data["target"] = choose.choice(("target", "target", "overlay", "nope"))
        return {"type": kind, "data": data}

    def _new_overlay(self) -> dict[str, Any]:
        choose = self._random
        number = self._disk()
        data = {"snapshot-file": choose.choice(("s0.qcow2", "s1.qcow2"))}
        data |= {"device": f"d{number}"} if choose.random() < 0.5 else {"node-name": f"n{number}"}
        if choose.random() < 0.8:
            data["snapshot-node-name"] = choose.choice(("s0", "s1"))
        return data

    def _overlay(self) -> dict[str, Any]:
        return {"node": f"d{self._disk()}", "overlay": self._random.choice(("overlay", "overlay", "target", "nope"))}

    def _node(self) -> str:
        return self._random.choice(("n0", "n1", "d0"))

    def _bitmap(self) -> dict[str, Any]:
        return {"node": self._node(), "name": self._random.choice(BITMAPS)}

    def _enable(self) -> dict[str, Any]:
        return {"node": self._random.choice(("n0", "n1")), "name": ALWAYS_THERE}

    def _new_bitmap(self) -> dict[str, Any]:
        choose = self._random
        data: dict[str, Any] = self._bitmap()
        if choose.random() < 0.3:
            data["disabled"] = True
        if choose.random() < 0.2:
            data["granularity"] = choose.choice((512, 65536, 100))
        return data

    def _merge(self) -> dict[str, Any]:
        node = self._node()
        source = self._bitmap() | {"node": node}
        bitmaps = [source if self._random.random() < 0.5 else source["name"]]
        return {"node": node, "target": self._random.choice(BITMAPS), "bitmaps": bitmaps}
