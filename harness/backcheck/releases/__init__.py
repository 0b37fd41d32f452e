"""QEMU releases kept in a cache folder beside whatever QEMU is installed.

The cache is ``$XDG_CACHE_HOME/backcheck`` (else ``~/.cache/backcheck``). A release is a folder ``qemu-RELEASE`` there,
named by the version that its own program reports, with the programs to run in ``bin/``. A folder appears whole or not
at all; an interrupted download is taken up again; two at once wait for each other. How a release is got is not here
but in ``debian_suite``; ``python -m backcheck.releases`` fetches them.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backcheck.releases.debian_suite import SYSTEM_PROGRAM, DebianSuite, SuiteUnavailable, run_tool

WANTED_RELEASES = ("5.2", "10.0", "11.1")

# Where a release was last seen: only the order in which suites are asked, for a suite may move on.
LIKELY_SUITES = {"5.2": "bullseye", "7.2": "bookworm", "10.0": "trixie", "11.1": "sid"}
SUITES = ("bullseye", "bookworm", "trixie", "forky", "sid")

VERSION_TIMEOUT_S = 60

Report = Callable[[str], None]


def cache_folder() -> Path:
    """The folder of all releases; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "backcheck"


def release_folder(release: str) -> Path:
    """Where `release` is, or would be."""
    return cache_folder() / f"qemu-{release}"


def find_release(release: str) -> Path | None:
    """The folder of a release that is in the cache, its programs in ``bin/``; None when it is not there."""
    folder = release_folder(release)
    return folder if (folder / "bin" / SYSTEM_PROGRAM).exists() else None


def why_missing(release: str) -> str:
    """Why ``find_release`` has nothing: the reason that the last attempt left, or how to make one."""
    try:
        return _reason_file(release).read_text().strip()
    except OSError:
        return f"not in {cache_folder()}; python -m backcheck.releases {release} fetches it"


def fetch(releases: Sequence[str], report: Report = print) -> list[str]:
    """Put the releases into the cache that are not there yet, and return those that cannot be had.

    One line about each goes to `report`; the reason for a missing one stays for ``why_missing``.
    """
    missing = [release for release in releases if find_release(release) is None]
    for release in releases:
        if release not in missing:
            report(f"QEMU {release}: {release_folder(release)}")
    if not missing:
        return []
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with _only_one(report):
            return _fill_cache(missing, report)
    except OSError as error:
        for release in missing:
            report(f"QEMU {release}: missing: {error}")
        return missing


def _fill_cache(releases: Sequence[str], report: Report) -> list[str]:
    offers: dict[str, str] = {}
    missing = []
    for release in releases:
        try:
            # Whoever held the lock before may have fetched it.
            if find_release(release) is None:
                _fetch_one(release, offers, report)
            _reason_file(release).unlink(missing_ok=True)
            report(f"QEMU {release}: {release_folder(release)}")
        except SuiteUnavailable as unavailable:
            missing.append(release)
            _reason_file(release).write_text(f"{unavailable}\n")
            report(f"QEMU {release}: missing: {unavailable}")
    return missing


def _fetch_one(release: str, offers: dict[str, str], report: Report) -> None:
    """Ask suite after suite for `release`, the likely one first; `offers` remembers what each answered."""
    likely = LIKELY_SUITES.get(release)
    for name in sorted(SUITES, key=lambda suite: suite != likely):
        suite = DebianSuite(name=name, folder=cache_folder() / ".apt" / name)
        if name not in offers:
            report(f"QEMU {release}: asking Debian {name}")
            offers[name] = suite.ask_release()
        if offers[name] == release:
            report(f"QEMU {release}: unpacking that of Debian {name}")
            _unpack(suite)
            if find_release(release) is None:
                raise SuiteUnavailable(f"Debian {name} called it QEMU {release}, the program does not")
            return
    known = ", ".join(f"{name} {offer}" for name, offer in offers.items())
    raise SuiteUnavailable(f"no Debian suite offers it now ({known})")


def _unpack(suite: DebianSuite) -> None:
    """Unpack beside the final place, ask the program its version, and rename."""
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=cache_folder(), ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary) / "qemu"
        suite.unpack(folder)
        version = run_tool([str(folder / "bin" / SYSTEM_PROGRAM), "--version"], timeout_s=VERSION_TIMEOUT_S)
        found = re.search(r"version (\d+\.\d+)", version)
        if found is None:
            raise SuiteUnavailable(f"the unpacked {SYSTEM_PROGRAM} does not say its version: {version.strip()!r}")
        final = release_folder(found[1])
        # Without a program in it, what stands there is no release.
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)
    suite.forget_downloads()


def _reason_file(release: str) -> Path:
    return cache_folder() / f"qemu-{release}.missing"


@contextmanager
def _only_one(report: Report) -> Iterator[None]:
    """Hold the cache's lock; the kernel lets it go with the process."""
    with (cache_folder() / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another process is filling the cache: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
