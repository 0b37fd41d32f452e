"""How the engine introduces itself: the version of QEMU that it shows, in each of the places that name it."""

from __future__ import annotations

from backcheck_engine.json_value import JsonObject
from backcheck_engine.release import Release

PACKAGE = "backcheck-engine"


def version_text(release: Release) -> str:
    """The version as "10.0.0"."""
    return f"{release}.0"


def version_info(release: Release) -> JsonObject:
    """What the greeting and `query-version` tell: VersionInfo of QAPI."""
    return {"qemu": {"micro": 0, "minor": release.minor, "major": release.major}, "package": PACKAGE}
