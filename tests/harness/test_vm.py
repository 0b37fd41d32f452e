"""One system program: what the harness sees when it talks, prints, crashes, hangs or refuses to start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backcheck.errors import CaseTimeout, ImplementationError
from backcheck.implementation import Implementation
from backcheck.recording.recorder import Recorder
from backcheck.transcript import Direction
from backcheck.vm import Machine


@pytest.fixture
def machine(fake: Implementation, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(fake, tmp_path, Recorder(deadline_s=30))
    machine.start([])
    yield machine
    machine.kill()


def wire(machine: Machine) -> list[str]:
    """What was recorded since the greeting, each message in a word or two."""
    seen = []
    for raw in machine.recorder.raw[1:]:
        message = raw.message
        if isinstance(message, dict):
            message = next(str(message[key]) for key in ("event", "execute", "return", "QMP") if key in message)
        seen.append(f"{raw.direction.value} {message}")
    return seen[3:]


def test_messages_are_recorded_in_their_true_order(machine: Machine) -> None:
    machine.execute("print", {"lines": ["one", "two"]})
    exchange = machine.execute("events", {"events": [["A", {}], ["B", {}]]})
    machine.execute("query-status", {})
    assert wire(machine) == [
        "-> print",
        "stdout one",
        "stdout two",
        "<- {}",
        "-> events",
        "<- A",
        "<- B",
        "<- {}",
        "-> query-status",
        "<- {}",
    ]
    raw = machine.recorder.raw
    assert raw[exchange.sent_at].direction is Direction.SENT
    assert [message.at for message in raw] == list(range(len(raw)))
    assert raw[exchange.reply_at].message == {"return": {}, "id": "__qmp#00001"}


def test_an_unfinished_line_is_not_a_line_yet(machine: Machine) -> None:
    machine.execute("print", {"lines": ["half"]})
    machine.quit()
    assert "stdout half" in wire(machine)


def test_a_crash_is_seen_at_once(machine: Machine) -> None:
    with pytest.raises(ImplementationError, match="fake-machine was killed by SIGABRT") as caught:
        machine.execute("abort", {})
    assert '-> {"execute": "abort", "id": "__qmp#00000"}' in caught.value.last_messages
    assert caught.value.last_messages[-1] == "fake-machine: assertion failed"


def test_a_crash_ends_every_wait(machine: Machine) -> None:
    with pytest.raises(ImplementationError):
        machine.execute("abort", {})
    with pytest.raises(ImplementationError, match="SIGABRT"):
        machine.recorder.wait(lambda: None, waiting_for="nothing")
    with pytest.raises(ImplementationError, match="SIGABRT"):
        machine.execute("query-status", {})


def test_an_early_end_is_an_error(machine: Machine) -> None:
    with pytest.raises(ImplementationError, match="fake-machine ended with status 5"):
        machine.execute("exit", {"status": 5})


def test_quit_must_end_with_status_0(machine: Machine) -> None:
    machine.quit()
    assert machine.process is not None
    assert machine.process.exit_status == 0


def test_silence_is_a_timeout_with_the_last_messages(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.recorder, "_patience_s", 0.2)
    with pytest.raises(CaseTimeout, match="the reply to silence") as caught:
        machine.execute("silence", {})
    assert '-> {"execute": "silence", "id": "__qmp#00000"}' in caught.value.last_messages


def test_what_is_not_qmp(machine: Machine) -> None:
    with pytest.raises(ImplementationError, match="fake-machine said on its monitor what is not QMP"):
        machine.execute("garbage", {})


def test_a_closed_monitor(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backcheck.vm.CRASH_TIMEOUT_S", 0.1)
    with pytest.raises(ImplementationError, match="fake-machine closed its monitor and still runs"):
        machine.execute("close", {})


def test_a_refused_command_line(fake: Implementation, tmp_path: Path) -> None:
    machine = Machine(fake, tmp_path, Recorder(deadline_s=30))
    with pytest.raises(ImplementationError, match="ended with status 1 before it greeted") as caught:
        machine.start(["-refused"])
    machine.kill()
    assert caught.value.last_messages[-1] == "fake-machine: -refused: invalid option"


def test_evidence(machine: Machine) -> None:
    machine.execute("query-status", {})
    machine.write_conversation()
    assert '-> {"execute": "query-status"' in (machine.folder / "conversation.log").read_text()
    assert "-machine none -nodefaults -display none -S" in (machine.folder / "command").read_text()
    assert machine.stderr_path.exists()


def test_a_real_machine(qemu: Implementation, tmp_path: Path) -> None:
    machine = Machine(qemu, tmp_path, Recorder(deadline_s=30))
    try:
        machine.start([])
        assert machine.execute("query-version", {}).error_class is None
        refused = machine.execute("no-such-command", {})
        assert (refused.error_class, refused.description) == (
            "CommandNotFound",
            "The command no-such-command has not been found",
        )
        machine.quit()
    finally:
        machine.kill()
