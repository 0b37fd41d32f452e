"""The exports of a program, from when each is added until it is gone, and the server that shows them."""

import asyncio
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import BlockError
from backcheck_engine.identifier import is_identifier
from backcheck_engine.nbd.export import Export, ExportSettings

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.nbd.server import Server


class ExportList:
    """All exports, in the order in which they came; `deleted` is told the id of each that is gone."""

    def __init__(self, deleted: Callable[[str], None]) -> None:
        self.server: Server | None = None
        self._deleted: Final = deleted
        self._exports: list[Export] = []
        self._deletions: set[asyncio.Task[None]] = set()

    # Looking.

    def newest_first(self) -> list[Export]:
        """The exports as queries list them."""
        return self._exports[::-1]

    def shown(self) -> list[Export]:
        """The exports that clients may choose, as the server lists them."""
        return [export for export in self._exports if export.is_wanted]

    def find(self, identity: str) -> Export | None:
        """The export that commands call so."""
        return next((export for export in self._exports if export.identity == identity), None)

    def find_shown(self, name: str) -> Export | None:
        """The export that NBD clients call so."""
        return next((export for export in self.shown() if export.name == name), None)

    @property
    def has_clients(self) -> bool:
        """Whether anybody uses an export."""
        return any(export.clients for export in self._exports)

    # Adding.

    def check_identity(self, identity: str) -> None:
        """Raise BlockError unless a new export may be called so."""
        if not is_identifier(identity):
            raise BlockError("Invalid block export id", errno.EINVAL)
        if self.find(identity) is not None:
            raise BlockError(f"Block export id '{identity}' is already in use", errno.EEXIST)

    async def add(self, settings: ExportSettings, node: "Node") -> Export:
        """Show `node`. Raises BlockError in QEMU's words; nothing has changed then."""
        needed = Permission.CONSISTENT_READ
        if settings.writable:
            needed |= Permission.WRITE
        backend = BlockBackend(node.graph, permissions=needed)
        backend.write_cache = not settings.writethrough
        backend.allows_iothread_change = not settings.fixed_iothread
        backend.insert(node)
        try:
            if self.server is None:
                raise BlockError("NBD server not running", errno.EINVAL)
            if self.find_shown(settings.name) is not None:
                raise BlockError(f"NBD server already has export named '{settings.name}'", errno.EEXIST)
            export = Export(settings, backend, takes_many_clients=self.server.takes_many_clients)
        except BaseException:
            await backend.close()
            raise
        self._exports.append(export)
        return export

    def remove_with(self, export: Export, drive: BlockBackend) -> None:
        """Let an export go when the medium of `drive` is taken out."""
        drive.before_removal.append(lambda: self.request_shutdown(export))

    # Removing.

    async def request_shutdown(self, export: Export) -> None:
        """Let an export go when its clients have gone, who are sent away; one without clients goes at once.

        Until 7.0 whoever asked was answered before that.
        """
        if not export.is_wanted:
            return
        export.is_wanted = False
        if export.clients:
            export.disconnect_clients()
        elif release.current() < release.QEMU_7_2:
            self._delete_soon(export)
        else:
            await self._delete(export)

    def client_gone(self, export: Export) -> None:
        """A connection has ended."""
        if not export.is_wanted and not export.clients:
            self._delete_soon(export)

    async def close_all(self) -> None:
        """Let all exports go, and wait for it."""
        closing = self.shown() if release.current() < release.QEMU_10_0 else self.shown()[::-1]
        for export in closing:
            await self.request_shutdown(export)
        while self._exports:
            if self._deletions:
                await asyncio.wait(self._deletions)
            else:
                await asyncio.gather(*(client.gone.wait() for export in self._exports for client in export.clients))
                await asyncio.sleep(0)

    def _delete_soon(self, export: Export) -> None:
        task = asyncio.get_running_loop().create_task(self._delete(export))
        self._deletions.add(task)
        task.add_done_callback(self._deletions.discard)

    async def _delete(self, export: Export) -> None:
        await export.close()
        self._exports.remove(export)
        self._deleted(export.identity)

    # The server.

    async def stop_server(self) -> None:
        """Let all exports go, and the server with them. Raises BlockError when there is none."""
        if self.server is None:
            raise BlockError("NBD server not running", errno.EINVAL)
        server, self.server = self.server, None
        server.stop_listening()
        await self.close_all()
        await server.close()
