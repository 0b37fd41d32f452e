"""Every write that reaches an image's file, in order, and what the file is after some of them."""

from backcheck_engine.block.node import Node
from backcheck_engine.block.request import Buffer, RequestFlag

Write = tuple[int, bytes]
"""Where, and what; nothing is a truncation to that size."""


def record_writes(file: Node) -> list[Write]:
    """From now on, every write to the file, in order."""
    log: list[Write] = []
    driver = file.driver
    write, zero, discard, truncate = driver.pwrite, driver.pwrite_zeroes, driver.discard, driver.truncate

    async def recorded_write(offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        log.append((offset, bytes(data)))
        await write(offset, data, flags)

    async def recorded_zero(offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        log.append((offset, bytes(length)))
        await zero(offset, length, flags)

    async def recorded_discard(offset: int, length: int) -> None:
        log.append((offset, bytes(max(min(length, driver.size() - offset), 0))))
        await discard(offset, length)

    async def recorded_truncate(size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        log.append((size, b""))
        await truncate(size, exact=exact, preallocation=preallocation, zero=zero)

    driver.pwrite, driver.pwrite_zeroes = recorded_write, recorded_zero  # type: ignore[method-assign]
    driver.discard, driver.truncate = recorded_discard, recorded_truncate  # type: ignore[method-assign]
    return log


def replay(start: bytes, writes: list[Write]) -> bytes:
    """What a file that began as `start` is after these writes."""
    image = bytearray(start)
    for offset, data in writes:
        if not data:
            image = image[:offset].ljust(offset, b"\0")
            continue
        if len(image) < offset:
            image.extend(bytes(offset - len(image)))
        image[offset : offset + len(data)] = data
    return bytes(image)
