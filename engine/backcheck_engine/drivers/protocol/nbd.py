"""The driver `nbd`: an image that is an export of a server. The protocol is in the package `nbd`."""

import errno
from typing import Final

from backcheck_engine import release
from backcheck_engine.block.driver import Driver, DriverKind, Limits
from backcheck_engine.block.opening import Opener
from backcheck_engine.block.request import SECTOR_SIZE, BlockStatus, Buffer, RequestFlag
from backcheck_engine.drivers.protocol import nbd_filename, nbd_options
from backcheck_engine.drivers.protocol.nbd_options import NbdOptions
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject
from backcheck_engine.nbd.client import NbdClient
from backcheck_engine.nbd.client_request import ClientRequest
from backcheck_engine.nbd.constants import (
    MAX_BUFFER_BYTES,
    QEMU_ALLOCATION_DEPTH,
    AllocationState,
    Command,
    CommandFlag,
    TransmissionFlag,
)
from backcheck_engine.nbd.handshake import Wanted
from backcheck_engine.nbd.replies import Answer

_INT_MAX: Final = 2**31 - 1


class NbdDriver(Driver):
    """An export as an image."""

    format_name = "nbd"
    kind = DriverKind.PROTOCOL
    protocol_prefix = "nbd"
    flushes_always = True
    strong_options = ("path", "host", "port", "export", "tls-creds", "tls-hostname", "server.")
    not_with_filename = ("host", "port", "path", "export", "server.")
    mutable_options = ()

    _client: NbdClient
    _options: NbdOptions

    @classmethod
    async def open(cls, opener: Opener) -> "NbdDriver":
        driver = cls(opener.node)
        driver._options = options = nbd_options.take(opener.options, opener.node.graph)
        wanted = Wanted(export=options.export or "", context=options.context)
        driver._client = NbdClient(options.address, wanted, reconnect_delay_s=options.reconnect_delay_s)
        await driver._client.open(options.open_timeout_s)
        try:
            driver._take_abilities()
        except BlockError:
            await driver._client.close()
            raise
        return driver

    @classmethod
    def parse_filename(cls, filename: str) -> JsonObject:
        return nbd_filename.parse(filename)

    def _take_abilities(self) -> None:
        """What the export can do, and whether that is enough. Raises BlockError."""
        export = self._client.export
        if self._options.has_own_context and export.context_id is None:
            raise _refused(f"requested x-dirty-bitmap {self._options.context} not found", errno.EINVAL)
        if TransmissionFlag.READ_ONLY in export.flags and self.node.is_writable:
            if not self.node.auto_read_only:
                raise _refused("NBD export is read-only", errno.EACCES)
            self.node.read_only = True
        self.supports_discard = TransmissionFlag.SEND_TRIM in export.flags
        self.supports_fua = TransmissionFlag.SEND_FUA in export.flags
        if TransmissionFlag.SEND_WRITE_ZEROES in export.flags:
            self.zero_flags = RequestFlag.MAY_UNMAP
            if TransmissionFlag.SEND_FAST_ZERO in export.flags:
                self.zero_flags |= RequestFlag.NO_FALLBACK
            if self.supports_fua:
                self.zero_flags |= RequestFlag.FUA

    def _can(self, ability: TransmissionFlag) -> bool:
        return ability in self._client.export.flags

    # Requests.

    async def pread(self, offset: int, length: int) -> Buffer:
        # The node counts in sectors; a last one that the server does not have in full ends in zeroes.
        inside = max(0, min(length, self._client.export.size - offset))
        data = bytearray(length)
        if inside:
            await self._perform(ClientRequest(Command.READ, offset, inside, buffer=memoryview(data)[:inside]))
        return data

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._perform(ClientRequest(Command.WRITE, offset, len(data), flags=self._fua(flags), data=data))

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        if not self._can(TransmissionFlag.SEND_WRITE_ZEROES):
            raise BlockError.from_errno(errno.ENOTSUP)
        command_flags = self._fua(flags)
        if RequestFlag.MAY_UNMAP not in flags:
            command_flags |= CommandFlag.NO_HOLE
        if RequestFlag.NO_FALLBACK in flags:
            command_flags |= CommandFlag.FAST_ZERO
        await self._perform(ClientRequest(Command.WRITE_ZEROES, offset, length, flags=command_flags))

    async def discard(self, offset: int, length: int) -> None:
        if self._can(TransmissionFlag.SEND_TRIM):
            await self._perform(ClientRequest(Command.TRIM, offset, length))

    async def flush(self) -> None:
        if self._can(TransmissionFlag.SEND_FLUSH):
            await self._perform(ClientRequest(Command.FLUSH))

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        export = self._client.export
        if export.context_id is None:
            return BlockStatus(length=length, data=True, host_offset=offset, file=self.node)
        if offset >= export.size:
            return BlockStatus(length=length, zero=True)
        alignment = self.node.limits.request_alignment
        length = min(_INT_MAX & -alignment, length, export.size - offset)
        answer = await self._perform(ClientRequest(Command.BLOCK_STATUS, offset, length, flags=CommandFlag.REQ_ONE))
        count, state = self._fitted(answer, alignment)
        return BlockStatus(
            length=count,
            data=not state & AllocationState.HOLE,
            zero=bool(state & AllocationState.ZERO),
            host_offset=offset,
            file=self.node,
        )

    def _fitted(self, answer: Answer, alignment: int) -> tuple[int, int]:
        """(length, flags) of the first extent, in whole blocks and no longer than what was asked for."""
        count, state = answer.extents[0]
        if self._options.context == QEMU_ALLOCATION_DEPTH:
            state = min(state, 2)
        if count % alignment and self._client.export.block_sizes is not None:
            # What is smaller than a block is data, all of the block.
            count, state = (count & -alignment, state) if count > alignment else (alignment, 0)
        return min(count, answer.length), state

    async def _perform(self, request: ClientRequest) -> Answer:
        """Do one request. Raises BlockError when the server says that it failed, or when there is no server."""
        answer = await self._client.perform(request)
        if answer.error:
            raise BlockError.from_errno(answer.error)
        return answer

    def _fua(self, flags: RequestFlag) -> CommandFlag:
        return CommandFlag.FUA if RequestFlag.FUA in flags else CommandFlag.NONE

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        """An export has the size that it has."""
        if exact and size != self.size():
            raise BlockError("Cannot resize NBD nodes", errno.ENOTSUP)
        if size > self.size():
            raise BlockError("Cannot grow NBD nodes", errno.EINVAL)

    # Facts.

    def size(self) -> int:
        return self._client.export.size

    def refresh_limits(self, limits: Limits) -> None:
        export = self._client.export
        largest = MAX_BUFFER_BYTES
        if export.block_sizes is not None:
            limits.request_alignment = export.block_sizes.minimum
            limits.optimal_transfer = max(limits.optimal_transfer, export.block_sizes.preferred)
            largest = min(largest, export.block_sizes.maximum)
        elif export.size % SECTOR_SIZE == 0 and export.context_id is None:
            # A server that says nothing and is not asked where its data is may be one that knows sectors only.
            limits.request_alignment = SECTOR_SIZE
        limits.max_transfer = limits.max_pwrite_zeroes = largest
        is_old = release.current() < release.QEMU_7_2
        limits.max_pdiscard = largest if is_old else _INT_MAX & -limits.request_alignment

    def refresh_filename(self) -> str | None:
        if not self._options.has_plain_address:
            return ""
        return nbd_filename.filename_of(self._options.address, self._options.export)

    # Life.

    def cancel_in_flight(self) -> bool:
        return self._client.stop_waiting()

    async def close(self) -> None:
        await self._client.close()


def _refused(words: str, code: int) -> BlockError:
    """What an export that is not as wanted is refused with; from 7.0 on QEMU lost its own words."""
    if release.current() < release.QEMU_7_2:
        return BlockError(words, code)
    return BlockError(f"Could not open image: {BlockError.from_errno(code).message}", code)
