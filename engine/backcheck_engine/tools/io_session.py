"""What backcheck-io does with its file: opens it, runs commands on it, closes it; and the commands a program has."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.json_value import JsonObject
from backcheck_engine.qemu_io.arguments import Arguments
from backcheck_engine.qemu_io.command import Command, Invocation
from backcheck_engine.qemu_io.dispatch import build_table, run_line
from backcheck_engine.qemu_io.session import Channel, CommandFailed, Session
from backcheck_engine.tools.command_line import Given
from backcheck_engine.tools.image_options import CACHE_MODES, DISCARD_MODES, CacheMode, parse_options, short_forms
from backcheck_engine.tools.images import ImageName, Images
from backcheck_engine.tools.program import Program, ToolError

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend

AIO_MODES: Final = ("threads", "native", "io_uring")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """A file to open, and how. Raises ToolError, when it is made, for a mode that does not exist."""

    name: str | None
    options: JsonObject
    is_options: bool = False
    cache: CacheMode
    discard: str = "unmap"
    read_only: bool = False
    force_share: bool = False
    copy_on_read: bool = False
    snapshot: bool = False

    @classmethod
    def from_command_line(cls, given: Given) -> "OpenRequest":
        """The file of the program's own command line."""
        options: JsonObject = {}
        if given.last("format") is not None:
            options["driver"] = given.last("format")
        return cls._build(
            given.operands[0] if given.operands else None,
            options,
            {letter: given.last(key) for letter, key in _LETTERS.items() if given.has(key)},
            is_options=given.has("image-opts"),
        )

    @classmethod
    def from_command(cls, given: Arguments) -> "OpenRequest":
        """The file of an `open` command."""
        options = parse_options(given.options["o"]) if given.has("o") else {}
        return cls._build(given.operands[0] if given.operands else None, options, dict(given.options))

    @classmethod
    def _build(
        cls, name: str | None, options: JsonObject, letters: dict[str, str | None], *, is_options: bool = False
    ) -> "OpenRequest":
        cache = letters.get("t") or ("none" if "n" in letters else "writethrough")
        if cache not in CACHE_MODES:
            raise ToolError(f"Invalid cache option: {cache}")
        discard = letters.get("d") or "unmap"
        if discard not in DISCARD_MODES:
            raise ToolError(f"Invalid discard option: {discard}")
        aio = letters.get("i") or AIO_MODES[0]
        if aio not in AIO_MODES:
            raise ToolError(f"Invalid aio option: {aio}")
        return cls(
            name=name,
            options=options,
            is_options=is_options,
            cache=CACHE_MODES[cache],
            discard=DISCARD_MODES[discard],
            read_only="r" in letters,
            force_share="U" in letters,
            copy_on_read="C" in letters,
            snapshot="s" in letters,
        )

    def image_name(self) -> ImageName:
        """The file as the tools open images."""
        return ImageName(
            text=self.name or "",
            is_options=self.is_options or self.name is None,
            extra_options=self.options,
            cache=self.cache,
            writable=not self.read_only,
            force_share=self.force_share,
            discard=self.discard == "unmap",
        )


_LETTERS: Final = {
    "r": "read-only",
    "s": "snapshot",
    "n": "nocache",
    "C": "copy-on-read",
    "i": "aio",
    "t": "cache",
    "d": "discard",
    "U": "force-share",
}
"""Which option of the command line is which of the `open` command."""


class IoSession:
    """The program's one file, open or not, and its commands."""

    def __init__(self, program: Program) -> None:
        self.is_over = False
        """Whether `quit` was given."""
        self._program = program
        self._images = Images()
        self._opened: OpenRequest | None = None
        self._session = Session(
            None,
            {
                Channel.OUTPUT: program.write,
                Channel.ERROR: lambda text: program.complain(text.removesuffix("\n")),
                Channel.REPORT: lambda text: program.error(text.removesuffix("\n")),
            },
        )
        self._table = build_table(*self._own_commands())

    async def run(self, line: str) -> bool:
        """Run one line. Returns whether it succeeded."""
        return await run_line(self._session, line, self._table)

    async def open(self, request: OpenRequest) -> None:
        """Open a file. Raises ToolError in qemu-io's words."""
        try:
            if request.copy_on_read and request.read_only:
                raise BlockError("Can't use copy-on-read on read-only device")
            backend = await self._open_image(request)
        except EngineError as error:
            device = "" if request.is_options or request.name is None else f" device {request.name}"
            raise ToolError(f"can't open{device}: {error}", hint=error.hint) from error
        self._opened = request
        self._session.backend = backend
        if request.copy_on_read and backend.node is not None:
            backend.node.copies_on_read = True

    async def _open_image(self, request: OpenRequest) -> "BlockBackend":
        name = request.image_name()
        if not request.snapshot:
            return await self._images.open_bare(name)
        from backcheck_engine.tools.overlay import temporary_overlay

        async with temporary_overlay(self._images, name) as overlay:
            return await self._images.open_bare(overlay)

    async def close(self) -> None:
        """Close the file, if one is open, after what is in flight on it."""
        backend, self._session.backend = self._session.backend, None
        if backend is not None:
            await self._images.close(backend)

    async def finish(self) -> None:
        """Wait for requests that commands left running, and close the file."""
        async with self._images.graph.drained_all():
            pass
        await self.close()

    def _own_commands(self) -> tuple[Command, ...]:
        return (
            Command(name="close", alias="c", summary="close the current open file", run=self._close_command),
            Command(
                name="open",
                alias="o",
                usage="[-rsCnkU] [-t cache] [-d discard] [-o options] [path]",
                summary="open the file specified by path",
                minimum=1,
                maximum=None,
                options="rsCnki:t:d:o:U",
                needs_file=False,
                run=self._open_command,
            ),
            Command(
                name="reopen",
                usage="[(-r|-w)] [-c cache] [-o options]",
                summary="reopens an image with new options",
                maximum=None,
                options="c:o:rw",
                run=self._reopen_command,
            ),
            Command(
                name="quit",
                alias="q",
                summary="exit the program",
                maximum=None,
                needs_file=False,
                run=self._quit_command,
            ),
        )

    async def _close_command(self, session: Session, invocation: Invocation) -> None:
        await self.close()

    async def _open_command(self, session: Session, invocation: Invocation) -> None:
        given = invocation.parse()
        for option in short_forms(given.options.get("o", "")):
            key, state = (option[2:], "off") if option.startswith("no") else (option, "on")
            self._program.warning(f"short-form boolean option '{option}' deprecated\nPlease use {key}={state} instead")
        if len(given.operands) > 1:
            raise invocation.wrong_shape()
        if session.backend is not None:
            raise CommandFailed("file open already, try 'help close'", Channel.REPORT)
        try:
            await self.open(OpenRequest.from_command(given))
        except ToolError as error:
            raise CommandFailed(error.message + (f"\n{error.hint}" if error.hint else ""), Channel.REPORT) from error

    async def _reopen_command(self, session: Session, invocation: Invocation) -> None:
        """Close the file and open it anew, which for a file of one's own comes to the same as changing it."""
        given = invocation.parse()
        if given.operands:
            raise invocation.wrong_shape()
        if given.has("r") and given.has("w"):
            raise CommandFailed("Only one -r/-w option may be given", Channel.REPORT)
        cache = given.options.get("c")
        if cache is not None and cache not in CACHE_MODES:
            raise CommandFailed(f"Invalid cache option: {cache}", Channel.REPORT)
        for key in parse_options(given.options.get("o", "")):
            raise CommandFailed(f"Cannot change the option '{key}'", Channel.REPORT)
        assert self._opened is not None
        request = replace(
            self._opened,
            read_only=given.has("r") or (self._opened.read_only and not given.has("w")),
            cache=self._opened.cache if cache is None else CACHE_MODES[cache],
        )
        try:
            await self.close()
            await self.open(request)
        except ToolError as error:
            raise CommandFailed(str(error), Channel.REPORT) from error

    async def _quit_command(self, session: Session, invocation: Invocation) -> None:
        self.is_over = True
