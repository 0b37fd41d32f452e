"""Numbers as QEMU's messages print them."""


def c_hex(value: int) -> str:
    """What printf makes of `%#x`: 0 has no prefix."""
    return f"{value:#x}" if value else "0"
