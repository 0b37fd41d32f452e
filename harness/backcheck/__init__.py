"""Backcheck: a conformance test suite for QEMU's drive-backup.

What a numbered case imports is here; everything else has a module of its own. Most names are loaded when they are first
used: the pytest plugin is in every session of whoever has installed Backcheck, and must cost nothing there.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from backcheck.definition import case
from backcheck.sizes import GiB, KiB, MiB, TiB

if TYPE_CHECKING:
    from backcheck.case import Case
    from backcheck.contents import Content
    from backcheck.disks import Drive, Node
    from backcheck.expectations import between
    from backcheck.faults import FailAlways, FailOnce
    from backcheck.images import Extent, Image
    from backcheck.jobs import Job, Moment
    from backcheck.json_types import JsonObject, JsonValue

__all__ = [
    "Case",
    "Content",
    "Drive",
    "Extent",
    "FailAlways",
    "FailOnce",
    "GiB",
    "Image",
    "Job",
    "JsonObject",
    "JsonValue",
    "KiB",
    "MiB",
    "Moment",
    "Node",
    "TiB",
    "between",
    "case",
]

_LOADED_LATE = {
    "Case": "case",
    "Content": "contents",
    "Drive": "disks",
    "Extent": "images",
    "FailAlways": "faults",
    "FailOnce": "faults",
    "Image": "images",
    "Job": "jobs",
    "JsonObject": "json_types",
    "JsonValue": "json_types",
    "Moment": "jobs",
    "Node": "disks",
    "between": "expectations",
}
"""Name -> the module that has it."""


def __getattr__(name: str) -> object:
    module = _LOADED_LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


class _Package(ModuleType):
    """This package: when its module `case` is imported, `backcheck.case` stays the decorator that cases import."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name == "case" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
