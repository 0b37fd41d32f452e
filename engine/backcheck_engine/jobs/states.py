"""The life of a job as two tables: which state may follow which, and which verb a job takes in which state.

The values are those of QAPI's JobStatus and JobVerb. Nothing here moves a job; `job.py` does, by these tables.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class JobStatus(Enum):
    """Where a job stands in its life."""

    UNDEFINED = "undefined"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    READY = "ready"
    STANDBY = "standby"
    WAITING = "waiting"
    PENDING = "pending"
    ABORTING = "aborting"
    CONCLUDED = "concluded"
    NULL = "null"


class Verb(Enum):
    """What a client may ask of a job."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    SET_SPEED = "set-speed"
    COMPLETE = "complete"
    FINALIZE = "finalize"
    DISMISS = "dismiss"
    CHANGE = "change"


TRANSITIONS: Final[dict[JobStatus, frozenset[JobStatus]]] = {
    JobStatus.UNDEFINED: frozenset({JobStatus.CREATED}),
    JobStatus.CREATED: frozenset({JobStatus.RUNNING, JobStatus.ABORTING, JobStatus.NULL}),
    JobStatus.RUNNING: frozenset({JobStatus.PAUSED, JobStatus.READY, JobStatus.WAITING, JobStatus.ABORTING}),
    JobStatus.PAUSED: frozenset({JobStatus.RUNNING}),
    JobStatus.READY: frozenset({JobStatus.STANDBY, JobStatus.WAITING, JobStatus.ABORTING}),
    JobStatus.STANDBY: frozenset({JobStatus.READY}),
    JobStatus.WAITING: frozenset({JobStatus.PENDING, JobStatus.ABORTING}),
    JobStatus.PENDING: frozenset({JobStatus.ABORTING, JobStatus.CONCLUDED}),
    JobStatus.ABORTING: frozenset({JobStatus.ABORTING, JobStatus.CONCLUDED}),
    JobStatus.CONCLUDED: frozenset({JobStatus.NULL}),
    JobStatus.NULL: frozenset(),
}

_WORKING: Final = frozenset(
    {JobStatus.CREATED, JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.READY, JobStatus.STANDBY}
)

VERBS: Final[dict[Verb, frozenset[JobStatus]]] = {
    Verb.CANCEL: _WORKING | {JobStatus.WAITING, JobStatus.PENDING},
    Verb.PAUSE: _WORKING,
    Verb.RESUME: _WORKING,
    Verb.SET_SPEED: _WORKING,
    Verb.COMPLETE: frozenset({JobStatus.READY, JobStatus.STANDBY}),
    Verb.FINALIZE: frozenset({JobStatus.PENDING}),
    Verb.DISMISS: frozenset({JobStatus.CONCLUDED}),
    Verb.CHANGE: _WORKING,
}

PAUSED_FORM: Final = {JobStatus.RUNNING: JobStatus.PAUSED, JobStatus.READY: JobStatus.STANDBY}
"""What a working state is called while the job is paused."""
