"""Backcheck: a conformance test suite for QEMU's drive-backup.

What a numbered case imports is here; everything else has a module of its own.
"""

from backcheck.case import Case
from backcheck.contents import Content
from backcheck.definition import case
from backcheck.disks import Drive, Node
from backcheck.expectations import Between as between
from backcheck.faults import FailAlways, FailOnce
from backcheck.images import Extent, Image
from backcheck.jobs import Job, Moment
from backcheck.sizes import GiB, KiB, MiB, TiB

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
    "KiB",
    "MiB",
    "Moment",
    "Node",
    "TiB",
    "between",
    "case",
]
