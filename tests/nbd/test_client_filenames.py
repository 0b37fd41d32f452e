"""Filenames of exports: what they stand for, what is wrong with them, and the filename that an export shows.

The expectations are what qemu-img of 7.2 and 10.0 answers.
"""

import pytest

from backcheck_engine.address import FdAddress, InetAddress, UnixAddress
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.drivers.protocol import nbd_filename
from backcheck_engine.errors import EngineError
from backcheck_engine.json_value import JsonObject
from tests.block.loop import run

UNIX: JsonObject = {"server.type": "unix", "server.path": "sock"}
GOOD: dict[str, JsonObject] = {
    "nbd:unix:sock": UNIX,
    "nbd:unix:sock:exportname=a b": UNIX | {"export": "a b"},
    "nbd:unix:sock:exportname=a:exportname=b": UNIX | {"export": "a:exportname=b"},
    "nbd:unix:sock:exportname=": {},
    "nbd:": {},
    "nbd:host:10809": {"server.type": "inet", "server.host": "host", "server.port": "10809"},
    "nbd:host:1:exportname=e": {"server.type": "inet", "server.host": "host", "server.port": "1", "export": "e"},
    "nbd:[::1]:1": {"server.type": "inet", "server.host": "::1", "server.port": "1"},
    "nbd+unix:///?socket=sock": UNIX,
    "nbd+unix://?socket=sock": UNIX,
    "nbd+unix:///a/b?socket=sock": UNIX | {"export": "a/b"},
    "nbd+unix:////a?socket=sock": UNIX | {"export": "/a"},
    "nbd+unix:///%41?socket=s%6fck": UNIX | {"export": "A"},
    "nbd+unix:///x?socket=sock#fragment": UNIX | {"export": "x"},
    "nbd://host": {"server.type": "inet", "server.host": "host", "server.port": "10809"},
    "nbd+tcp://host:7/x": {"server.type": "inet", "server.host": "host", "server.port": "7", "export": "x"},
    "nbd://[::1]:7": {"server.type": "inet", "server.host": "::1", "server.port": "7"},
}


@pytest.mark.parametrize("filename", GOOD)
def test_what_a_filename_stands_for(filename: str) -> None:
    assert nbd_filename.parse(filename) == GOOD[filename]


@pytest.mark.parametrize(
    "url",
    [
        "nbd://",
        "nbd:///x",
        "nbd+unix://",
        "nbd+unix:///?foo=bar",
        "nbd+unix:///x?socket=sock&a=b",
        "nbd+unix://host/x?socket=sock",
        "nbd://host?socket=x",
        "nbd://host/?x=y",
        "nbd:a://b",
        "nbd://host/%zz",
        "nbd://host:port",
    ],
)
def test_no_url(url: str) -> None:
    with pytest.raises(EngineError, match=r"^No valid URL specified$"):
        nbd_filename.parse(url)


REFUSED: list[tuple[str | None, JsonObject, str]] = [
    ("nbd:", {}, "NBD server address missing"),
    ("nbd:foo", {}, "error parsing address 'foo'"),
    ("nbd+unix:sock", {}, "File name string for NBD must start with 'nbd:'"),
    ("nbd+foo://a", {}, "Unknown protocol 'nbd+foo'"),
    ("nbd:unix:nosuch", {}, "Failed to connect to 'nosuch': No such file or directory"),
    ("nbd:unix:", {}, "Failed to connect to '': Connection refused"),
    ("nbd:unix:" + 108 * "a", {}, f"UNIX socket path '{108 * 'a'}' is too long"),
    ("nbd:unix:sock:exportname=" + 5000 * "e", {}, "export name too long to send to server"),
    ("nbd:127.0.0.1:port", {}, "address resolution failed for 127.0.0.1:port: Servname not supported for ai_socktype"),
    ("nbd:unix:x", {"file.export": "e"}, "Option 'export' cannot be used with a file name"),
    ("nbd:unix:x", {"file.server.type": "unix"}, "Option 'server.type' cannot be used with a file name"),
    (None, {"driver": "nbd"}, "NBD server address missing"),
    (None, {"driver": "nbd", "path": "nosuch"}, "Failed to connect to 'nosuch': No such file or directory"),
    (None, {"driver": "nbd", "path": "a", "host": "b"}, "path and host may not be used at the same time"),
    (None, {"driver": "nbd", "path": "a", "port": "1"}, "port may not be used without host"),
    (
        None,
        {"driver": "nbd", "path": "a", "server.type": "unix"},
        "Cannot use 'server' and path/host/port at the same time",
    ),
    (None, {"driver": "nbd", "server": {"path": "x"}}, "Parameter 'type' is missing"),
    (None, {"driver": "nbd", "server": {"type": "foo"}}, "Parameter 'type' does not accept value 'foo'"),
    (None, {"driver": "nbd", "server": {"type": "inet", "host": "h"}}, "Parameter 'port' is missing"),
    (None, {"driver": "nbd", **UNIX, "server.foo": "bar"}, "Parameter 'foo' is unexpected"),
    (
        None,
        {"driver": "nbd", "server": {"type": "inet", "host": "h", "port": "1", "ipv4": "maybe"}},
        "Parameter 'ipv4' expects 'on' or 'off'",
    ),
    (None, {"driver": "nbd", **UNIX, "tls-creds": "t0"}, "No TLS credentials with id 't0'"),
    (None, {"driver": "nbd", **UNIX, "reconnect-delay": "x"}, "Parameter 'reconnect-delay' expects a number"),
    (None, {"driver": "nbd", **UNIX, "x-dirty-bitmap": 5000 * "q"}, "x-dirty-bitmap query too long to send to server"),
    (None, {"driver": "nbd", "server": {"type": "fd", "str": "0"}}, "File descriptor '0' is not a socket"),
]


@pytest.mark.parametrize(("filename", "options", "expected"), REFUSED, ids=[str(case[2])[:40] for case in REFUSED])
def test_what_cannot_be_opened(filename: str | None, options: JsonObject, expected: str) -> None:
    with open("/dev/null") as nothing:
        if "descriptor" in expected:
            options = {"driver": "nbd", "server": {"type": "fd", "str": str(nothing.fileno())}}
            expected = expected.replace("'0'", f"'{nothing.fileno()}'")
        with pytest.raises(EngineError) as raised:
            run(open_node(Graph(), options, filename=filename))
    assert raised.value.message == expected


def test_the_filename_that_is_shown() -> None:
    unix, inet = UnixAddress("/s"), InetAddress("h", "1")
    assert nbd_filename.filename_of(unix, None) == "nbd+unix://?socket=/s"
    assert nbd_filename.filename_of(unix, "e/f") == "nbd+unix:///e/f?socket=/s"
    assert nbd_filename.filename_of(inet, None) == "nbd://h:1"
    assert nbd_filename.filename_of(inet, "e") == "nbd://h:1/e"
    assert nbd_filename.filename_of(FdAddress(3), None) == ""
    assert nbd_filename.filename_of(unix, 5000 * "e") == ""
