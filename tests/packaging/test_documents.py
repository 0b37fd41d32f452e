"""What the documents show is what there is: the whole case, the environments, the command that CI runs."""

import configparser
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SHOWN_FILE = re.compile(r"^<!-- (?P<path>\S+) -->\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (\S.*)$", re.MULTILINE)
LINK = re.compile(r"\]\((?P<target>[^)#]+)\)")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def tox_environments() -> set[str]:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(PROJECT / "tox.ini")
    return {section.removeprefix("testenv:") for section in tox.sections() if section.startswith("testenv:")}


def test_contributing_shows_a_case_and_its_golden_as_they_are() -> None:
    shown = {found["path"]: found["text"] for found in SHOWN_FILE.finditer((PROJECT / "CONTRIBUTING.md").read_text())}
    assert {Path(path).parts[0] for path in shown} == {"cases", "golden"}
    assert shown == {path: (PROJECT / path).read_text() for path in shown}


def test_readme_lists_every_tox_environment() -> None:
    table = (PROJECT / "README.md").read_text().partition("| `tox -e` |")[2].partition("\n\n")[0]
    listed = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert listed == tox_environments()


def test_ci_runs_the_commands_of_the_readme() -> None:
    install, test = COMMAND.findall((PROJECT / "README.md").read_text())[:2]
    commands = (PROJECT / ".ci/run").read_text()
    environment, pip, _ = install.split(" && ")
    assert environment.removeprefix("python3 ") in commands
    assert pip in commands
    assert re.search(rf"^{re.escape(test)} 2>&1", commands, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    targets = [found["target"] for found in LINK.finditer((PROJECT / document).read_text())]
    assert not [target for target in targets if "://" not in target and not (PROJECT / target).exists()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    text = (PROJECT / document).read_text()
    named = re.findall(r"`((?:cases|golden|harness|engine|tests|bench|block|drivers|monitor|qapi)/[\w./]*)`", text)
    roots = [PROJECT, PROJECT / "engine/backcheck_engine"]
    assert not [name for name in named if not any((root / name).exists() for root in roots)]
