"""Comparing what came with what a case expects: names of keys, ranges, absence."""

import pytest

from backcheck.story.expectations import Expected, asserted_keys, between, chosen, render_got, wrong_keys

GOT = {"node-name": "disk0-node", "backing_file_depth": 1, "ro": False}


@pytest.mark.parametrize(
    ("expected", "wrong"),
    [
        ({"node_name": "disk0-node", "backing_file_depth": 1}, []),
        ({"node-name": "disk0-node"}, []),
        ({"backing_file_depth": 0, "ro": False}, ["backing_file_depth"]),
        ({"backing_file_depth": between(0, 1)}, []),
        ({"backing_file_depth": between(2, 3)}, ["backing_file_depth"]),
        ({"ro": 0}, ["ro"]),
        ({"absent": None}, []),
        ({"absent": 1, "ro": None}, ["absent", "ro"]),
    ],
)
def test_keys_are_named_as_they_came_or_as_in_python(expected: dict[str, Expected], wrong: list[str]) -> None:
    assert wrong_keys(expected, GOT) == wrong


def test_names_in_the_golden_are_those_that_came() -> None:
    assert chosen(GOT, ["node_name", "backing_file_depth", "absent"]) == {
        "node-name": "disk0-node",
        "backing_file_depth": 1,
    }
    assert asserted_keys({"backing_file_depth": between(0, 2), "node_name": "x"}, GOT) == ("backing_file_depth",)
    assert render_got(GOT, ["backing_file_depth", "some_key"]) == "backing_file_depth=1 some-key=(absent)"
