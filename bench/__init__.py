"""Measurements of the bundled engine beside the installed QEMU; see ``run``."""
