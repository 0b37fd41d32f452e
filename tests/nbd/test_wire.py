"""The NBD wire: each side's messages are the inverse of the other's, wrong ones are refused, known bytes are known."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.nbd import negotiation, transmission
from backcheck_engine.nbd.constants import (
    REQUEST_MAGIC,
    STRUCTURED_REPLY_MAGIC,
    ChunkType,
    Command,
    CommandFlag,
    HandshakeFlag,
    OptionCode,
    OptionReply,
    TransmissionFlag,
)
from backcheck_engine.nbd.errors import WireError, to_errno, to_wire

U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def test_bytes_on_the_wire_are_those_of_the_protocol() -> None:
    assert negotiation.pack_greeting(HandshakeFlag.FIXED_NEWSTYLE) == b"NBDMAGICIHAVEOPT\0\1"
    assert negotiation.pack_option(OptionCode.ABORT) == b"IHAVEOPT" + bytes.fromhex("00000002 00000000")
    request = transmission.pack_request(Command.WRITE, 0x1122334455667788, 4096, 512, CommandFlag.FUA)
    assert request == bytes.fromhex("25609513 0001 0001 1122334455667788 0000000000001000 00000200")
    assert transmission.pack_simple_reply(7, errno.ENOSPC) == bytes.fromhex("67446698 0000001c 0000000000000007")
    reply = negotiation.pack_option_reply(OptionCode.GO, OptionReply.ERR_UNKNOWN)
    assert reply == bytes.fromhex("0003e889045565a9 00000007 80000006 00000000")
    hole = transmission.pack_hole_chunk(9, 512, 1024, 1)
    assert hole == bytes.fromhex("668e33ef 0001 0002 0000000000000009 0000000c 0000000000000200 00000400")


@given(NAMES, st.lists(U16, max_size=5))
def test_export_requests(name: str, wanted: list[int]) -> None:
    request = negotiation.ExportRequest(name=name, wanted=wanted)
    assert negotiation.unpack_export_request(negotiation.pack_export_request(request)) == request


@given(NAMES, st.lists(NAMES, max_size=5))
def test_meta_context_requests(export: str, queries: list[str]) -> None:
    request = negotiation.MetaContextRequest(export=export, queries=queries)
    assert negotiation.unpack_meta_context_request(negotiation.pack_meta_context_request(request)) == request


@given(st.binary(max_size=60))
def test_payloads_that_are_none_are_refused_or_mean_something(data: bytes) -> None:
    """Whatever a payload is, reading it ends in a WireError or in what packs to the same bytes."""
    try:
        request = negotiation.unpack_export_request(data)
    except WireError:
        pass
    else:
        assert negotiation.pack_export_request(request) == data
    try:
        contexts = negotiation.unpack_meta_context_request(data)
    except WireError:
        pass
    else:
        assert negotiation.pack_meta_context_request(contexts) == data


@given(U64, U16)
def test_exports(size: int, flags: int) -> None:
    export = negotiation.ExportInfo(size, TransmissionFlag(flags))
    assert negotiation.unpack_export(negotiation.pack_export(export)) == export


@given(U32, U32, U32)
def test_block_sizes(minimum: int, preferred: int, maximum: int) -> None:
    sizes = negotiation.BlockSizes(minimum, preferred, maximum)
    assert negotiation.unpack_block_sizes(negotiation.pack_block_sizes(sizes)) == sizes


@given(NAMES, NAMES, U32)
def test_lists_and_meta_contexts(name: str, description: str, context_id: int) -> None:
    assert negotiation.unpack_server(negotiation.pack_server(name, description)) == (name, description)
    context = negotiation.MetaContext(context_id, name)
    assert negotiation.unpack_meta_context(negotiation.pack_meta_context(context)) == context


@given(U16, U64, U64, U32, U16)
def test_requests(command: int, cookie: int, offset: int, length: int, flags: int) -> None:
    packed = transmission.pack_request(command, cookie, offset, length, flags)
    assert len(packed) == transmission.REQUEST_BYTES
    unpacked = transmission.unpack_request(packed)
    assert unpacked == transmission.Request(REQUEST_MAGIC, flags, command, cookie, offset, length)


def test_the_magic_of_a_request_is_as_it_came() -> None:
    packed = b"\x26" + transmission.pack_request(0, 0, 0, 0)[1:]
    assert transmission.unpack_request(packed).magic == 0x26609513


@given(st.lists(st.tuples(U32, U32), min_size=1, max_size=5), U32)
def test_block_status_chunks(pairs: list[tuple[int, int]], context_id: int) -> None:
    extents = [transmission.Extent(*pair) for pair in pairs]
    packed = transmission.pack_status_chunk(3, context_id, extents, 1)
    head = transmission.unpack_chunk(packed[: transmission.CHUNK_BYTES])
    payload = packed[transmission.CHUNK_BYTES :]
    assert head == (STRUCTURED_REPLY_MAGIC, 1, ChunkType.BLOCK_STATUS, 3, len(payload))
    assert head.is_done
    assert transmission.unpack_status(payload) == (context_id, extents)
    for end in range(len(payload)):
        if (end - transmission.CONTEXT_BYTES) % transmission.EXTENT_BYTES or end < 12:
            with pytest.raises(WireError):
                transmission.unpack_status(payload[:end])


@given(NAMES, st.none() | U64)
def test_error_chunks(message: str, offset: int | None) -> None:
    packed = transmission.pack_error_chunk(3, errno.ENOSPC, message, offset)
    head = transmission.unpack_chunk(packed[: transmission.CHUNK_BYTES])
    payload = packed[transmission.CHUNK_BYTES :]
    assert transmission.unpack_error(head.kind, payload) == (errno.ENOSPC, message, offset)
    with pytest.raises(WireError):
        transmission.unpack_error(head.kind, payload[:-1] if message or offset is not None else payload[:3])


@pytest.mark.parametrize(
    ("code", "back"),
    [
        (0, 0),
        (errno.EIO, errno.EIO),
        (errno.ENOSPC, errno.ENOSPC),
        (errno.EROFS, errno.EPERM),
        (errno.EFBIG, errno.ENOSPC),
        (errno.ENOTSUP, errno.ENOTSUP),
        (errno.EBUSY, errno.EINVAL),
    ],
)
def test_what_becomes_of_an_errno_on_its_way(code: int, back: int) -> None:
    assert to_errno(to_wire(code)) == back
