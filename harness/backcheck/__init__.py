"""Backcheck: a conformance test suite for QEMU's drive-backup.

What a numbered case imports is here; everything else has a module of its own. At the top stand what all parts share
(`case`, `definition`, `implementation`, `vm`, `qmp`, `transcript`, `normalise`, `rules`, `errors`) and the ways in
(`cli`, `plugin`, `engine_fixture`). Below them:

    story/       what a case touches through `t`: images, drives, jobs, the monitor, expectations
    recording/   messages and printed lines, in their true order, become the entries of a transcript
    programs/    programs under test as processes
    nbd_target/  an NBD server that writes down what reaches it
    golden/      the grammar of goldens, their guards, comparing an answer with one and making one of answers
    running/     a run of many cases: collecting, judging each and the whole, the results folder
    authoring/   beginning, reviewing and renumbering cases
    report/      what is shown of runs
    releases/    releases of QEMU in the cache

Most names are loaded when they are first used: the pytest plugin is in every session of whoever has installed
Backcheck, and must cost nothing there.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from backcheck.definition import case
from backcheck.sizes import GiB, KiB, MiB, TiB

if TYPE_CHECKING:
    from backcheck.case import Case
    from backcheck.json_types import JsonObject, JsonValue
    from backcheck.story.bitmaps import Bitmap
    from backcheck.story.contents import Content
    from backcheck.story.disks import Drive, Node
    from backcheck.story.expectations import between
    from backcheck.story.faults import FailAlways, FailOnce
    from backcheck.story.human_monitor import HumanMonitor
    from backcheck.story.images import Extent, Image
    from backcheck.story.jobs import Job, Moment
    from backcheck.story.recording_target import RecordingTarget
    from backcheck.story.target_requests import TargetRequest
    from backcheck.story.terminal import Key
    from backcheck.story.transactions import Action

__all__ = [
    "Action",
    "Bitmap",
    "Case",
    "Content",
    "Drive",
    "Extent",
    "FailAlways",
    "FailOnce",
    "GiB",
    "HumanMonitor",
    "Image",
    "Job",
    "JsonObject",
    "JsonValue",
    "Key",
    "KiB",
    "MiB",
    "Moment",
    "Node",
    "RecordingTarget",
    "TargetRequest",
    "TiB",
    "between",
    "case",
]

_LOADED_LATE = {
    "Action": "story.transactions",
    "Bitmap": "story.bitmaps",
    "Case": "case",
    "Content": "story.contents",
    "Drive": "story.disks",
    "Extent": "story.images",
    "FailAlways": "story.faults",
    "FailOnce": "story.faults",
    "HumanMonitor": "story.human_monitor",
    "Image": "story.images",
    "Job": "story.jobs",
    "JsonObject": "json_types",
    "JsonValue": "json_types",
    "Key": "story.terminal",
    "Moment": "story.jobs",
    "Node": "story.disks",
    "RecordingTarget": "story.recording_target",
    "TargetRequest": "story.target_requests",
    "between": "story.expectations",
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
