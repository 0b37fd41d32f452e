"""The two tables of a job's life, held against the tables that every release answers by (rules JOB-01, EVT-02..11)."""

import itertools

import pytest

from backcheck_engine.jobs.states import TRANSITIONS, VERBS, JobStatus, Verb

WORKING = "created running paused ready standby"

VERB_TABLE = {
    "cancel": f"{WORKING} waiting pending",
    "pause": WORKING,
    "resume": WORKING,
    "set-speed": WORKING,
    "complete": "ready standby",
    "finalize": "pending",
    "dismiss": "concluded",
    "change": WORKING,
}

PATHS = [
    "undefined created running waiting pending concluded null",
    "undefined created running paused running waiting pending concluded null",
    "undefined created running aborting concluded null",
    "undefined created running waiting pending aborting concluded null",
    "undefined created running waiting aborting concluded null",
    "undefined created aborting concluded null",
    "undefined created null",
    "undefined created running ready standby ready waiting pending concluded null",
    "undefined created running ready aborting concluded null",
]

NO_PATHS = [
    "pending running",
    "concluded running",
    "paused waiting",
    "paused aborting",
    "running pending",
    "running concluded",
    "null created",
    "waiting concluded",
]


def test_every_verb_has_the_states_that_qemu_lets_it_have() -> None:
    assert {verb.value for verb in VERBS} == set(VERB_TABLE)
    for verb, states in VERBS.items():
        assert {state.value for state in states} == set(VERB_TABLE[verb.value].split())


def test_the_tables_are_complete() -> None:
    assert set(TRANSITIONS) == set(JobStatus)
    assert set(VERBS) == set(Verb)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_was_observed_is_allowed(path: str) -> None:
    states = [JobStatus(name) for name in path.split()]
    for state, following in itertools.pairwise(states):
        assert following in TRANSITIONS[state]


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_path_that_skips_a_state_is_not(path: str) -> None:
    state, following = (JobStatus(name) for name in path.split())
    assert following not in TRANSITIONS[state]


def test_every_state_but_undefined_is_reached_and_null_is_the_end() -> None:
    reached = {following for followings in TRANSITIONS.values() for following in followings}
    assert reached == set(JobStatus) - {JobStatus.UNDEFINED}
    assert [state for state, followings in TRANSITIONS.items() if not followings] == [JobStatus.NULL]
