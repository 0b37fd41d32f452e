"""Writes pip constraints that pin every dependency of pyproject.toml to its lower bound: ``lowest.py FILE``."""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<lowest>[0-9.]+)")


def lowest(requirement: str) -> str:
    """ "pytest>=8.0" as the constraint "pytest==8.0"."""
    bound = REQUIREMENT.fullmatch(requirement)
    if bound is None:
        sys.exit(
            f"lowest.py: {PROJECT.name} says {requirement!r}: a dependency is NAME>=VERSION, so that it can be tested"
        )
    return f"{bound['name']}=={bound['lowest']}"


if __name__ == "__main__":
    dependencies = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    Path(sys.argv[1]).write_text("".join(f"{lowest(requirement)}\n" for requirement in dependencies))
