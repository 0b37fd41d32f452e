"""How messages call options and the replies to them."""

from typing import Final

from backcheck_engine.nbd.constants import OptionCode, OptionReply

_OPTIONS: Final[dict[int, str]] = {
    OptionCode.EXPORT_NAME: "export name",
    OptionCode.ABORT: "abort",
    OptionCode.LIST: "list",
    OptionCode.PEEK_EXPORT: "peek export",
    OptionCode.STARTTLS: "starttls",
    OptionCode.INFO: "info",
    OptionCode.GO: "go",
    OptionCode.STRUCTURED_REPLY: "structured reply",
    OptionCode.LIST_META_CONTEXT: "list meta context",
    OptionCode.SET_META_CONTEXT: "set meta context",
    OptionCode.EXTENDED_HEADERS: "extended headers",
}

_REPLIES: Final[dict[int, str]] = {
    OptionReply.ACK: "ack",
    OptionReply.SERVER: "server",
    OptionReply.INFO: "info",
    OptionReply.META_CONTEXT: "meta context",
    OptionReply.ERR_UNSUP: "unsupported",
    OptionReply.ERR_POLICY: "denied by policy",
    OptionReply.ERR_INVALID: "invalid",
    OptionReply.ERR_PLATFORM: "platform lacks support",
    OptionReply.ERR_TLS_REQD: "TLS required",
    OptionReply.ERR_UNKNOWN: "export unknown",
    OptionReply.ERR_SHUTDOWN: "server shutting down",
    OptionReply.ERR_BLOCK_SIZE_REQD: "block size required",
}

_UNKNOWN: Final = "<unknown>"


def option_name(code: int) -> str:
    """The name of an option."""
    return _OPTIONS.get(code, _UNKNOWN)


def reply_name(code: int) -> str:
    """The name of a reply to an option."""
    return _REPLIES.get(code, _UNKNOWN)


def option_text(code: int) -> str:
    """An option with its number and its name."""
    return f"{code} ({option_name(code)})"


def reply_text(code: int) -> str:
    """A reply with its number and its name."""
    return f"{code} ({reply_name(code)})"
