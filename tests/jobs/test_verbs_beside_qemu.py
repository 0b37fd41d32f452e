"""Every verb of both families in every state that a client can hold a job in: the installed QEMU and the engine.

One session a state takes all verbs that leave the job where it is; then each verb that moves it has one of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backcheck_engine.jobs.states import VERBS, JobStatus, Verb
from tests.jobs.test_beside_qemu import QEMU, Answers, Command, backup, job, release, run_story, until

__all__ = ["release"]

pytestmark = [
    pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed"),
]

BY_ID = {"block-job-finalize", "block-job-dismiss"}
"""Those of the older family that call the job's name `id`."""
LOOK: list[Command] = [("query-jobs", {}), ("query-block-jobs", {})]
OTHER = {"job-id": "j1", "device": "disk0", "target": "larger", "sync": "none"}

STOPPED = "stopped by an error"
PLAIN_CANCEL = job("block-job-cancel")
"""Refused while a job is paused."""
AFTER_AN_ERROR = {
    "job-cancel": "null",
    "block-job-cancel": "null",
    "job-resume": "paused",
    "block-job-resume": "paused",
}

STATES: dict[str, tuple[JobStatus, list[Command]]] = {
    "running": (JobStatus.RUNNING, [backup(sync="none")]),
    "paused": (JobStatus.PAUSED, [backup(sync="none"), job("job-pause")]),
    STOPPED: (
        JobStatus.PAUSED,
        [backup(target="failing", on_target_error="stop", x_perf={"max-workers": 1}), until("paused")],
    ),
    "pending": (JobStatus.PENDING, [backup(auto_finalize=False), until("pending")]),
    "concluded": (JobStatus.CONCLUDED, [backup(auto_dismiss=False), until("concluded")]),
    "failed": (
        JobStatus.CONCLUDED,
        [backup(target="failing", auto_dismiss=False, x_perf={"max-workers": 1}), until("concluded")],
    ),
    "cancelled": (
        JobStatus.CONCLUDED,
        [backup(sync="none", auto_dismiss=False), job("job-cancel"), until("concluded")],
    ),
    "unknown": (JobStatus.NULL, []),
}


def verb_commands(verb: Verb) -> list[Command]:
    """The verb in both families; without a speed that would be obeyed."""
    older = f"block-job-{verb.value}"
    members = {"id" if older in BY_ID else "device": "j0"}
    if verb is Verb.SET_SPEED:
        return [(older, members | {"speed": 1}), (older, members | {"speed": -1})]
    return [(f"job-{verb.value}", {"id": "j0"}), (older, members)]


def refused(status: JobStatus) -> list[Command]:
    """All commands that a job in that state does not take, and those that change nothing."""
    verbs = [verb for verb in Verb if verb is not Verb.CHANGE]
    moving = {Verb.CANCEL, Verb.FINALIZE, Verb.DISMISS, Verb.PAUSE if status is JobStatus.RUNNING else Verb.RESUME}
    return [
        command for verb in verbs if not (verb in moving and status in VERBS[verb]) for command in verb_commands(verb)
    ]


def moving(status: JobStatus) -> list[Command]:
    """The commands that end the stay in that state."""
    commands = {
        JobStatus.RUNNING: (job("job-cancel"), job("block-job-cancel"), job("job-pause"), job("block-job-pause")),
        JobStatus.PAUSED: (
            job("job-cancel"),
            PLAIN_CANCEL,
            job("block-job-cancel", force=True),
            job("job-resume"),
            job("block-job-resume"),
        ),
        JobStatus.PENDING: (
            job("job-cancel"),
            job("block-job-cancel"),
            job("job-finalize"),
            ("block-job-finalize", {"id": "j0"}),
        ),
        JobStatus.CONCLUDED: (job("job-dismiss"), ("block-job-dismiss", {"id": "j0"})),
    }
    return list(commands.get(status, ()))


def both(story: list[Command], folder: Path, release: str) -> tuple[Answers, Answers]:
    """What QEMU and the engine answer."""
    assert QEMU is not None
    expected = run_story([QEMU], story, folder / "qemu", release)
    return run_story([sys.executable, "-m", "backcheck_engine"], story, folder / "engine", release), expected


@pytest.mark.parametrize("state", STATES)
def test_what_a_state_refuses(state: str, tmp_path: Path, release: str) -> None:
    status, story = STATES[state]
    answered, expected = both([*story, *LOOK, *refused(status), *LOOK], tmp_path, release)
    assert answered == expected


@pytest.mark.parametrize(
    ("state", "number"),
    [(state, number) for state, (status, _) in STATES.items() for number in range(len(moving(status)))],
)
def test_what_moves_a_job(state: str, number: int, tmp_path: Path, release: str) -> None:
    status, story = STATES[state]
    command = moving(status)[number]
    # What an error stopped meets it again when it is let go, and comes to rest only then.
    rest = [until(AFTER_AN_ERROR[command[0]])] if state == STOPPED and command != PLAIN_CANCEL else []
    answered, expected = both([*story, command, *rest, *LOOK], tmp_path, release)
    assert answered == expected
