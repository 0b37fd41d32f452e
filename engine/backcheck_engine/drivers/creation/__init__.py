"""Making images: by filename and text options, as `qemu-img create` and drive-backup do, and by blockdev-create."""

from backcheck_engine.drivers.creation.blockdev import blockdev_create, check_blockdev_create
from backcheck_engine.drivers.creation.image import create_image
from backcheck_engine.drivers.creation.options import CreateOption, OptionKind, help_lines
from backcheck_engine.drivers.creation.registry import create_options

__all__ = [
    "CreateOption",
    "OptionKind",
    "blockdev_create",
    "check_blockdev_create",
    "create_image",
    "create_options",
    "help_lines",
]
