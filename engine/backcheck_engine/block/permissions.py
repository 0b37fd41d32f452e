"""Permissions that a user of a node takes and those that it lets others take, and the words for a conflict."""

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.quick_flag import quick_flag

if TYPE_CHECKING:
    from backcheck_engine.block.child import Child


@quick_flag
class Permission(enum.Flag):
    """What a parent may do with a node. The values are the bits, and the lock bytes, that QEMU uses."""

    NONE = 0
    CONSISTENT_READ = 1
    WRITE = 2
    WRITE_UNCHANGED = 4
    RESIZE = 8
    ALL = 15


PERMISSION_NAMES: dict[Permission, str] = {
    Permission.CONSISTENT_READ: "consistent read",
    Permission.WRITE: "write",
    Permission.WRITE_UNCHANGED: "write unchanged",
    Permission.RESIZE: "resize",
}

QAPI_NAMES: dict[Permission, str] = {
    permission: name.replace(" ", "-") for permission, name in PERMISSION_NAMES.items()
}
"""The members of BlockPermission, for options such as blkdebug's take-child-perms."""


def permission_names(permissions: Permission) -> str:
    """The permissions as they read in a message: "consistent read, write"."""
    return ", ".join(name for permission, name in PERMISSION_NAMES.items() if permission in permissions)


def permission_from_qapi(name: str) -> Permission | None:
    """The permission called `name` in QAPI, or None; until 7.0 `graph-mod` was one, without effect."""
    if name == "graph-mod" and release.current() < release.QEMU_7_2:
        return Permission.NONE
    return next((permission for permission, known in QAPI_NAMES.items() if known == name), None)


def first_conflict(parents: Sequence["Child"]) -> tuple["Child", "Child"] | None:
    """Two parents of one node that cannot coexist: (the one that requires, the one that does not share).

    `parents` are in QEMU's order, newest first.
    """
    for unsharing in parents:
        for requiring in parents:
            if requiring is not unsharing and requiring.permissions & ~unsharing.shared:
                return requiring, unsharing
    return None
