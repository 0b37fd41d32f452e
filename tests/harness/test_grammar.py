"""The grammar: everything a transcript can hold has a text, and the text reads back to the same."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck.errors import GoldenError
from backcheck.golden.grammar import Line, identity, lines_of, parse_line, render_line
from backcheck.golden.values import parse_values, render_values
from backcheck.transcript import Command, Entry, Guest, JobEvent, JobStatus, OtherEvent, Output, Reply, State

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["null", "true", "10.0", "-1", "1e5", "#block123", "a b", 'say "no"', "(asserted)", "{}", "->", "", "x.y", "t\r\n"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)
NAMES = TEXT.filter(bool)
EVENT_NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
STATUSES = st.sampled_from(["created", "running", "paused", "waiting", "pending", "aborting", "concluded", "null"])


@st.composite
def asserting(draw: st.DrawFn) -> tuple[dict[str, object], tuple[str, ...]]:
    values = draw(OBJECTS)
    keys = tuple(sorted(draw(st.sets(st.sampled_from(sorted(values))))) if values else ())
    return {**values, **dict.fromkeys(keys)}, keys


TRANSACTIONS = st.builds(
    lambda actions, more: {**more, "actions": [{"type": name, "data": data} for name, data in actions]},
    st.lists(st.tuples(NAMES, OBJECTS), max_size=3),
    OBJECTS,
)
ENTRIES: st.SearchStrategy[Entry] = st.one_of(
    st.builds(Command, monitor=NAMES, name=st.just("transaction"), arguments=TRANSACTIONS | OBJECTS, at=st.just(0)),
    st.builds(Command, monitor=NAMES, name=NAMES, arguments=OBJECTS, at=st.just(0)),
    st.builds(Reply, monitor=NAMES, value=VALUES, at=st.just(0)),
    st.builds(lambda pair, monitor: Reply(monitor=monitor, value=pair[0], asserted=pair[1], at=0), asserting(), NAMES),
    st.builds(
        Reply,
        monitor=NAMES,
        error_class=st.sampled_from(["GenericError", "CommandNotFound"]),
        description=TEXT,
        at=st.just(0),
    ),
    st.builds(JobStatus, job=NAMES, status=STATUSES, at=st.just(0)),
    st.builds(
        lambda pair, job, name, id_key: JobEvent(
            job=job, name=name, data=pair[0], asserted=pair[1], id_key=id_key, at=0
        ),
        asserting(),
        NAMES,
        EVENT_NAMES,
        st.sampled_from(["device", "id"]),
    ),
    st.builds(OtherEvent, monitor=NAMES, name=EVENT_NAMES, data=OBJECTS, at=st.just(0)),
    st.builds(Guest, device=NAMES, text=TEXT, result=TEXT, at=st.just(0)),
    st.builds(lambda pair, subject: State(subject=subject, values=pair[0], asserted=pair[1], at=0), asserting(), NAMES),
    st.builds(Output, text=TEXT, stream=st.sampled_from(["stdout", "stderr"]), at=st.just(0)),
)


@given(VALUES)
def test_every_object_and_list_reads_back(value: object) -> None:
    if isinstance(value, dict | list):
        assert parse_values(render_values(value)).value == value


@given(ENTRIES)
def test_every_entry_reads_back(entry: Entry) -> None:
    text = render_line([entry])
    assert "\n" not in text or (isinstance(entry, Command) and entry.name == "transaction")
    assert parse_line(text).entries == (entry,)


@given(st.lists(ENTRIES, max_size=12))
def test_a_step_reads_back_lane_by_lane(entries: list[Entry]) -> None:
    lines = lines_of(replace(entry, at=place) for place, entry in enumerate(entries, 1))
    assert [parse_line(line.text) for line in lines] == lines
    for lane in {line.lane for line in lines}:
        read_back = [entry for line in lines if line.lane == lane for entry in line.entries]
        assert read_back == [entry for entry in entries if Line(entries=(entry,)).lane == lane]


@given(OBJECTS)
def test_the_order_of_keys_is_not_what_a_reply_says(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))
    entries = [Reply(monitor="qmp", value=way, at=0) for way in (value, backwards)]  # type: ignore[arg-type]
    assert len({render_line([entry]) for entry in entries}) == 1
    commands = [Command(monitor="qmp", name="x", arguments=way, at=0) for way in (value, backwards)]  # type: ignore[arg-type]
    assert len({identity(command) for command in commands}) == 1


EXAMPLES = {
    "-> blockdev-backup job-id=job0 device=disk0 target=target0 sync=incremental": Command(
        monitor="qmp",
        name="blockdev-backup",
        arguments={"job-id": "job0", "device": "disk0", "target": "target0", "sync": "incremental"},
        at=0,
    ),
    "-> transaction properties.completion-mode=grouped\n"
    "     drive-backup job-id=job0 device=disk0 target=t0.img sync=full\n"
    "     block-dirty-bitmap-clear node=disk0-node name=b0\n"
    "     abort": Command(
        monitor="qmp",
        name="transaction",
        arguments={
            "actions": [
                {
                    "type": "drive-backup",
                    "data": {"job-id": "job0", "device": "disk0", "target": "t0.img", "sync": "full"},
                },
                {"type": "block-dirty-bitmap-clear", "data": {"node": "disk0-node", "name": "b0"}},
                {"type": "abort", "data": {}},
            ],
            "properties": {"completion-mode": "grouped"},
        },
        at=0,
    ),
    "-> transaction actions=[]": Command(monitor="qmp", name="transaction", arguments={"actions": []}, at=0),
    "-> transaction actions[0].type=abort": Command(
        monitor="qmp", name="transaction", arguments={"actions": [{"type": "abort"}]}, at=0
    ),
    "mon1 -> query-jobs": Command(monitor="mon1", name="query-jobs", arguments={}, at=0),
    "<- {}": Reply(monitor="qmp", value={}, at=0),
    "<- []": Reply(monitor="qmp", value=[], at=0),
    '<- "10.0"': Reply(monitor="qmp", value="10.0", at=0),
    "<- [0].id=job0 [0].status=running [1].id=job1": Reply(
        monitor="qmp", value=[{"id": "job0", "status": "running"}, {"id": "job1"}], at=0
    ),
    "<- GenericError \"Cannot find device='x' nor node-name='x'\"": Reply(
        monitor="qmp", error_class="GenericError", description="Cannot find device='x' nor node-name='x'", at=0
    ),
    "job0: created": JobStatus(job="job0", status="created", at=0),
    'job0: BLOCK_JOB_COMPLETED type=backup len=131072 offset=(asserted) speed=0 error="Input/output error"': JobEvent(
        job="job0",
        name="BLOCK_JOB_COMPLETED",
        data={"error": "Input/output error", "len": 131072, "offset": None, "speed": 0, "type": "backup"},
        asserted=("offset",),
        at=0,
    ),
    "job0: BLOCK_JOB_PENDING (id) type=backup": JobEvent(
        job="job0", name="BLOCK_JOB_PENDING", data={"type": "backup"}, id_key="id", at=0
    ),
    "event SHUTDOWN guest=false reason=host-qmp-quit": OtherEvent(
        monitor="qmp", name="SHUTDOWN", data={"guest": False, "reason": "host-qmp-quit"}, at=0
    ),
    "guest disk0: write 0x5a offset=0 length=65536 -> ok": Guest(
        device="disk0", text="write 0x5a offset=0 length=65536", result="ok", at=0
    ),
    "bitmap disk0-node/b0: count=131072 granularity=65536 recording=true busy=false": State(
        subject="bitmap disk0-node/b0",
        values={"busy": False, "count": 131072, "granularity": 65536, "recording": True},
        at=0,
    ),
    "stdout \"Formatting 't.raw', fmt=raw size=512\"": Output(text="Formatting 't.raw', fmt=raw size=512", at=0),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_lines_of_the_documentation(text: str) -> None:
    assert render_line([EXAMPLES[text]]) == text
    assert parse_line(text).entries == (EXAMPLES[text],)


def test_states_that_follow_each_other_share_a_line() -> None:
    states = [JobStatus(job="job0", status=status, at=0) for status in ("created", "running")]
    end = JobEvent(job="job0", name="BLOCK_JOB_CANCELLED", data={}, at=0)
    lines = lines_of([*states, end, states[0]])
    assert [line.text for line in lines] == ["job0: created running", "job0: BLOCK_JOB_CANCELLED", "job0: created"]


def test_lanes_stand_in_an_order_of_their_own() -> None:
    texts = ["state x: a=1", "guest d: read -> ok", "event STOP", "job0: created", 'stdout "x"', "-> stop", "<- {}"]
    lines = lines_of(parse_line(text).entries[0] for text in texts)
    assert [line.text for line in lines] == [
        "-> stop",
        "<- {}",
        'stdout "x"',
        "job0: created",
        "event STOP",
        *texts[1::-1],
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "no line"),
        ("-> x a=1 b", "does not begin with key="),
        ("-> x a=1 a=2", "given twice"),
        ("-> x a.b=1 a=2", "given twice"),
        ("-> x a=1 a.b=2", "both a value"),
        ("-> x a[1]=1", "without gaps"),
        ("-> x a.b=(asserted)", "top-level"),
        ('-> x a="b"c=1', "a space is missing"),
        ("-> x a=(b)", "is not a value"),
        ("job0: ", "not a value"),
        ("-> x a=1b=2", "not a value"),
        ("bitmap x: 5", "not a list of key=value"),
        ('stdout "\\x"', "is not a string"),
        ("-> x\n     abort", "only the line '-> transaction' goes on below: 'abort' follows another"),
        ("<- {}\n     abort", "only the line '-> transaction' goes on"),
        ("-> transaction actions=[]\n     abort", "only the line '-> transaction' goes on"),
        ("-> transaction\n     abort 5", "not a list of key=value"),
        ("-> transaction\n      abort", "a name is missing"),
        ("-> transaction\nabort", "no line"),
    ],
)
def test_what_is_no_line_is_refused_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(GoldenError, match=complaint) as caught:
        parse_line(text, "golden/001.out:7")
    assert str(caught.value).startswith("golden/001.out:7: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_has_not_is_refused(value: float) -> None:
    with pytest.raises(GoldenError, match="not a number"):
        render_values({"x": value})
