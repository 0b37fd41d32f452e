"""What a client may send wrong, answered by the engine as a real QEMU of the same release answers it."""

import json

import pytest

from tests.monitor.program import DEADLINE_S, ENGINE, RELEASES, Message, Peer, real_program, running

BEFORE_NEGOTIATION = [
    b'{"execute": "query-version"}',
    b'{"execute": "nope"}',
    b'{"exec-oob": "query-version"}',
    b'{"execute": "qmp_capabilities", "arguments": {"enable": ["foo"]}}',
    b'{"execute": "qmp_capabilities", "arguments": {"enable": "oob"}}',
    b'{"execute": "qmp_capabilities", "arguments": {"enable": [1]}}',
    b"garbage\n",
]

REQUESTS = [
    b'{"execute": "qmp_capabilities", "id": 7}',
    b'{"exec-oob": "query-name", "id": 1}',
    b'{"exec-oob": "nope", "id": 1}',
    b'{"execute": "nope"}',
    b"{'execute': 'query-name'}",
    b'{"execute": "query-name", "id": {"a": [1, null, true]}}',
    b'{"execute": "query-name", "arguments": {"foo": 1}}',
    b'{"execute": "query-name", "arguments": null}',
    b'{"execute": "query-name", "arguments": []}',
    b'{"execute": "query-name", "foo": 1}',
    b'{"execute": 1}',
    b'{"execute": "query-name", "exec-oob": "query-name"}',
    b'{"id": 3}',
    b"[]",
    b"1 ",
    b'"x"',
    b"null ",
    b'{"execute": "query-name" "id": 1}',
    b'{"execute": "query-name", "execute": "query-status"}',
    b'{"execute": "query-name",}',
    b'{execute: "query-name"}',
    b'{"execute":}',
    b'{"execute" 1}',
    b"{1: 2}",
    b"[1,]",
    b"[1 2]",
    b"}",
    b"{]",
    b"[}",
    b":",
    b"%s\n",
    b'{"execute": "a\\qb"}',
    b'{"execute": "a\xc3b"}',
    b'{"execute": "\\ud800"}',
    b'{"execute": "\\u0000"}',
    b'{"execute": "query-name", "id": "\\u20ac\\ud83d\\ude00\\n/\\/"}',
    b'{"execute": "query-name", "id": 18446744073709551615}',
    b'{"execute": "query-name", "id": -}\n',
    b'{"execute": "query-name", "id": 1.}\n',
    b'{"execute": "query-name", "id": \'a"b\'}',
    b'{"execute": "query-name", "id": trueish}',
    b'{"execute": "query-name"\n,\n"id": 3\n}',
    b'"abc\n',
    b"[" * 1024 + b"]" * 1024,
]

ARGUMENTS: list[tuple[str, Message]] = [
    ("blockdev-add", {}),
    ("blockdev-add", {"driver": 1}),
    ("blockdev-add", {"driver": "nosuch"}),
    ("blockdev-add", {"driver": "raw"}),
    ("blockdev-add", {"driver": "raw", "file": 1}),
    ("blockdev-add", {"driver": "raw", "file": None}),
    ("blockdev-add", {"driver": "raw", "file": {"driver": "file"}}),
    ("blockdev-add", {"driver": "raw", "file": {"driver": "file", "filename": "x", "foo": 1}}),
    ("blockdev-add", {"driver": "raw", "file": {"driver": "file", "filename": "x"}, "foo": 1}),
    ("blockdev-add", {"driver": "raw", "file": "x", "offset": "x"}),
    ("blockdev-add", {"driver": "null-co", "latency-ns": "x"}),
    ("blockdev-add", {"driver": "null-co", "latency-ns": 1.5}),
    ("blockdev-add", {"driver": "null-co", "size": 1 << 63}),
    ("blockdev-add", {"driver": "null-co", "size": 512}),
    ("blockdev-add", {"driver": "null-co", "size": 512, "node-name": ""}),
    ("blockdev-add", {"driver": "nbd", "server": {"type": "inet", "host": "a"}}),
    ("blockdev-add", {"driver": "nbd", "server": {"type": "inet", "host": "a", "port": "1", "to": 70000}}),
    ("blockdev-add", {"driver": "blkdebug", "image": "x", "take-child-perms": ["foo"]}),
    ("blockdev-add", {"driver": "blkdebug", "image": "x", "inject-error": [{"event": "read_aio", "foo": 1}]}),
    ("blockdev-add", {"driver": "blkdebug", "image": "x", "inject-error": [1]}),
    ("blockdev-add", {"driver": "blkdebug", "image": "x", "inject-error": {}}),
    ("blockdev-add", {"driver": "blkdebug", "image": "x", "inject-error": [{"event": "nope"}]}),
    ("blockdev-add", {"driver": "qcow2", "file": "x", "backing": 1}),
    ("blockdev-add", {"driver": "qcow2", "file": "x", "overlap-check": "foo"}),
    ("blockdev-add", {"driver": "qcow2", "file": "x", "overlap-check": {"foo": 1}}),
    ("blockdev-add", {"driver": "qcow2", "file": "x", "cache": {"writeback": True}}),
    ("blockdev-add", {"driver": "qcow2", "file": "x", "read-only": "on"}),
    ("blockdev-add", {"driver": "copy-before-write", "file": "x", "target": "y", "cbw-timeout": -1}),
    ("blockdev-del", {"node-name": "nope"}),
    ("block_resize", {"size": 1}),
    ("block_resize", {"device": "x", "node-name": "y", "size": 1}),
    ("block_resize", {"device": "x", "size": "1"}),
    ("blockdev-create", {"job-id": "j", "options": {"driver": "null-co"}}),
    ("blockdev-create", {"job-id": "j", "options": {"driver": "null-co", "size": 1}}),
    ("blockdev-create", {"job-id": "j", "options": {"driver": "qcow2", "file": "x", "size": -1, "foo": 1}}),
    ("blockdev-create", {"job-id": "j", "options": {"driver": "qcow2"}}),
    ("drive-backup", {}),
    ("drive-backup", {"device": "x"}),
    ("drive-backup", {"device": "x", "sync": "full"}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "FULL"}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "full", "foo": 1}),
    ("drive-backup", {"sync": "foo", "speed": "x"}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "full", "speed": "x", "mode": "z"}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "full", "mode": "z"}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "full", "compress": 1}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "full", "x-perf": 1}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "full", "x-perf": {"max-workers": "x"}}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "full", "x-perf": {"min-cluster-size": "x"}}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "full", "discard-source": True}),
    ("drive-backup", {"device": "x", "target": "y", "sync": "full", "on-cbw-error": "break-snapshot"}),
    ("blockdev-backup", {"device": "x", "target": "y", "sync": "full", "mode": "existing"}),
    ("block-job-change", {"id": "x", "type": "mirror"}),
    ("human-monitor-command", {}),
    ("human-monitor-command", {"command-line": "info status", "cpu-index": 3}),
    ("human-monitor-command", {"command-line": "info block -n"}),
    ("human-monitor-command", {"command-line": "info nope"}),
    ("human-monitor-command", {"command-line": "nope"}),
    ("human-monitor-command", {"command-line": ""}),
    ("human-monitor-command", {"command-line": "info name"}),
    ("human-monitor-command", {"command-line": "info status"}),
    ("human-monitor-command", {"command-line": "info block-jobs"}),
    ("human-monitor-command", {"command-line": "info version foo"}),
    ("human-monitor-command", {"command-line": "help nope"}),
    ("human-monitor-command", {"command-line": "help info block"}),
    ("human-monitor-command", {"command-line": "help qemu-io"}),
    ("human-monitor-command", {"command-line": "qemu-io"}),
    ("human-monitor-command", {"command-line": "qemu-io x"}),
    ("human-monitor-command", {"command-line": 'qemu-io x "read 0 1"'}),
    ("human-monitor-command", {"command-line": 'qemu-io x "read 0 1" foo'}),
    ("human-monitor-command", {"command-line": "qemu-io -x x"}),
    ("human-monitor-command", {"command-line": "block_job_cancel -f"}),
    ("human-monitor-command", {"command-line": "block_job_cancel x"}),
    ("query-status", {}),
    ("cont", {}),
    ("query-status", {}),
    ("stop", {}),
    ("query-status", {}),
    ("query-block", {}),
    ("query-named-block-nodes", {}),
    ("query-blockstats", {}),
    ("query-jobs", {}),
    ("query-uuid", {}),
]


def answers(release: str, program: tuple[str, ...]) -> list[tuple[str, object]]:
    """What a program of that release answers to all of it, in order."""
    with running("-qmp", "stdio", program=program, release=release) as process:
        peer = Peer.of_process(process)
        peer.message()
        collected: list[tuple[str, object]] = []
        for data in BEFORE_NEGOTIATION:
            peer.send(data)
            collected.append((repr(data), peer.reply()))
        peer.send(b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}')
        peer.reply()
        for data in REQUESTS:
            peer.send(data)
            collected.append((repr(data[:60]), peer.reply()))
        for command, arguments in ARGUMENTS:
            peer.send(json.dumps({"execute": command, "arguments": arguments}).encode())
            collected.append((f"{command} {arguments}", peer.reply()))
        return collected


@pytest.mark.parametrize("release", RELEASES)
def test_answers_are_those_of_qemu(release: str) -> None:
    real = answers(release, (real_program(release),))
    engine = answers(release, ENGINE)
    pairs = zip(real, engine, strict=True)
    differing = [(question, theirs, ours) for (question, theirs), (_, ours) in pairs if theirs != ours]
    assert not differing


@pytest.mark.parametrize("release", RELEASES)
def test_several_replies_to_garbage(release: str) -> None:
    """After an error the parser skips to the next bracket, which is an error of its own."""

    def replies(program: tuple[str, ...]) -> list[Message]:
        with running("-qmp", "stdio", program=program, release=release) as process:
            peer = Peer.of_process(process)
            peer.negotiate()
            peer.send(b'{"execute": %s}\n{"execute": "a\x01b"}\n{"a": 01}\nabc def\n')
            peer.send(b'\xff @@ {"execute": "query-name", "id": "last"}')
            collected = []
            while (message := peer.reply()).get("id") != "last":
                collected.append(message)
            return collected

    assert replies(ENGINE) == replies((real_program(release),))


# 11.1 swallows what follows until the brackets are closed again; the engine starts afresh, as those before do.
@pytest.mark.parametrize("release", ["5.2", "7.2", "10.0"])
def test_too_deep(release: str) -> None:
    def reply(program: tuple[str, ...]) -> Message:
        with running("-qmp", "stdio", program=program, release=release) as process:
            peer = Peer.of_process(process)
            peer.negotiate()
            peer.send(b"[" * 1025 + b"\n")
            refusal = peer.reply()
            assert peer.execute("query-name") == {"return": {}}
            return refusal

    assert reply(ENGINE) == reply((real_program(release),))


@pytest.mark.parametrize("release", RELEASES)
def test_quit_answers_in_the_releases_order(release: str) -> None:
    def names(program: tuple[str, ...]) -> list[str]:
        with running("-qmp", "stdio", program=program, release=release) as process:
            peer = Peer.of_process(process)
            peer.negotiate()
            peer.send(b'{"execute": "quit"}')
            order = [str(message.get("event", "reply")) for message in (peer.message(), peer.message())]
            assert peer.line() == b""
            assert process.wait(DEADLINE_S) == 0
            return order

    assert names(ENGINE) == names((real_program(release),))
