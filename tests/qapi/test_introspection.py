"""`query-qmp-schema` of the engine beside that of each real QEMU: what the engine has is the same, but for names."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from backcheck import releases

RELEASES = ("5.2", "7.2", "10.0", "11.1")
CONVERSATION = b'{"execute":"qmp_capabilities"}{"execute":"query-qmp-schema"}{"execute":"quit"}'
NAME = "qemu-system-x86_64"
ARGUMENTS = ["-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]

Entry = dict[str, object]

FEWER_TYPES = ("object-add",)
"""Commands whose union has only the object types that block devices use, as in a QEMU built with less."""


def schema_of(program: list[str], environment: dict[str, str]) -> dict[str, Entry]:
    """The entries of a program's schema, by name."""
    # Into a file: QEMU ends without waiting for a reader that is slower than it.
    with tempfile.TemporaryFile() as output:
        subprocess.run(
            [*program, *ARGUMENTS], input=CONVERSATION, stdout=output, check=True, env=environment, timeout=60
        )
        output.seek(0)
        replies = [json.loads(line) for line in output]
    entries = next(reply["return"] for reply in replies if isinstance(reply.get("return"), list))
    return {entry["name"]: entry for entry in entries}


def real_program(release: str) -> str:
    """A QEMU of that release, unpacked or installed."""
    folder = releases.find_release(release)
    if folder is not None:
        return str(folder / "bin" / NAME)
    installed = shutil.which(NAME)
    if installed is None or f"version {release}." not in subprocess.check_output([installed, "--version"], text=True):
        pytest.skip(releases.why_missing(release))
    return installed


@pytest.fixture(scope="module", params=RELEASES)
def schemas(request: pytest.FixtureRequest) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """(the real one's, the engine's), for one release."""
    release = request.param
    real = schema_of([real_program(release)], dict(os.environ))
    engine = schema_of([sys.executable, "-m", "backcheck_engine"], os.environ | {"BACKCHECK_RELEASE": release})
    return real, engine


class Comparison:
    """Walks two schemas in step; types are the same when all that they lead to is the same."""

    def __init__(self, real: dict[str, Entry], engine: dict[str, Entry], *, ordered: bool) -> None:
        self.real = real
        self.engine = engine
        self.ordered = ordered
        """Whether the order of members counts: in arguments it decides which error comes first."""
        self.seen: set[tuple[str, str]] = set()
        self.differences: list[str] = []

    def types(self, path: str, real_name: object, engine_name: object) -> None:
        """Compare two types, and those that they lead to."""
        pair = (str(real_name), str(engine_name))
        if pair in self.seen:
            return
        self.seen.add(pair)
        real, engine = self.real[pair[0]], self.engine[pair[1]]
        for key in ("meta-type", "json-type", "tag", "features"):
            self.values(f"{path} {key}", real.get(key), engine.get(key))
        if real["meta-type"] != engine["meta-type"]:
            return
        if "element-type" in real:
            self.types(f"{path}[]", real["element-type"], engine["element-type"])
        if real["meta-type"] == "enum":
            if path.split(".")[0] in FEWER_TYPES:
                assert set(engine["values"]) <= set(real["values"])
                return
            self.values(f"{path} values", real["values"], engine["values"])
            self.values(f"{path} members", by_name(real.get("members")), by_name(engine.get("members")))
        else:
            self.members(path, real.get("members", []), engine.get("members", []))
        self.variants(path, real.get("variants", []), engine.get("variants", []))

    def members(self, path: str, real: list[Entry], engine: list[Entry]) -> None:
        """Compare the members of an object, in their order, or the types of an alternate, in any."""
        names = [member.get("name") for member in real], [member.get("name") for member in engine]
        arranged = list if self.ordered else sorted
        self.values(f"{path} order", *(arranged(str(name) for name in side) for side in names))
        if None in names[0]:
            for own in real:
                fits = [
                    other
                    for other in engine
                    if kind_of(self.engine[str(other["type"])]) == kind_of(self.real[str(own["type"])])
                ]
                self.values(f"{path} alternatives", 1, len(fits))
                self.types(f"{path}|", own["type"], fits[0]["type"])
            return
        others = {member["name"]: member for member in engine}
        for member in real:
            other = others.get(member["name"])
            if other is not None:
                place = f"{path}.{member['name']}"
                self.values(f"{place} optional", "default" in member, "default" in other)
                self.values(f"{place} features", member.get("features"), other.get("features"))
                self.types(place, member["type"], other["type"])

    def variants(self, path: str, real: list[Entry], engine: list[Entry]) -> None:
        others = {variant["case"]: variant for variant in engine}
        if path in FEWER_TYPES:
            real = [variant for variant in real if variant["case"] in others]
        self.values(f"{path} cases", sorted(str(v["case"]) for v in real), sorted(str(v["case"]) for v in engine))
        for variant in real:
            if variant["case"] in others:
                self.types(f"{path}<{variant['case']}>", variant["type"], others[variant["case"]]["type"])

    def values(self, path: str, real: object, engine: object) -> None:
        if real != engine:
            self.differences.append(f"{path}: {real} there, {engine} here")


def kind_of(entry: Entry) -> tuple[object, object]:
    return entry["meta-type"], entry.get("json-type")


def by_name(members: object) -> object:
    return {member["name"]: member for member in members} if isinstance(members, list) else members


@pytest.mark.parametrize("kind", ["command", "event"])
def test_same_as_real(schemas: tuple[dict[str, Entry], dict[str, Entry]], kind: str) -> None:
    real, engine = schemas
    arguments, results = (Comparison(real, engine, ordered=ordered) for ordered in (True, False))
    names = [name for name, entry in engine.items() if entry["meta-type"] == kind]
    assert names
    for name in names:
        for key in ("features", "allow-oob"):
            arguments.values(f"{name} {key}", real[name].get(key), engine[name].get(key))
        arguments.types(name, real[name]["arg-type"], engine[name]["arg-type"])
        if kind == "command":
            results.types(f"{name} returns", real[name]["ret-type"], engine[name]["ret-type"])
    assert not arguments.differences
    assert not results.differences


def test_every_type_is_there_once_and_used(schemas: tuple[dict[str, Entry], dict[str, Entry]]) -> None:
    _, engine = schemas
    text = json.dumps([list(entry.items()) for entry in engine.values()])
    unused = [
        name
        for name, entry in engine.items()
        if entry["meta-type"] not in ("command", "event") and text.count(json.dumps(name)) < 2
    ]
    assert not unused
