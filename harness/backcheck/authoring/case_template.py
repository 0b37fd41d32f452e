"""`backcheck new`: a case file that explains itself, for somebody who writes their first."""

import re
from pathlib import Path

from backcheck.authoring.renumbering import case_number
from backcheck.catalogue import Catalogue
from backcheck.errors import UsageError

SLUG_LENGTH = 60

_TEMPLATE = '''\
"""{title}."""

# The file's name gives the number and the slug, the line above the title. The title is the one promise of this case.
#
# @case: `rules` are ids of cases/rules.toml that the case verifies (`backcheck rules` prints them); `groups` are for
# `backcheck run -g GROUP`, with "quick" for what takes less than a second; `formats` are the source formats to run on,
# ["qcow2"] when it makes no difference. Where a build lacks something: requires=["zstd"], ["driver:vmdk"],
# ["command:block-job-change"]. Where it cannot run: not_on={{"qemu<6.0": "why, and the id of a rule"}}.
#
# `t` is the machine and its surroundings. It starts with the first guest request, command or backup; all drives and
# nodes that it starts with come before. Nothing sleeps: what a case waits for has a name and a deadline.

from backcheck import Case, KiB, MiB, case


@case(rules=["EVT-03"], groups=["quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    # A drive has the id disk0 and the node disk0-node. The guest writes with a pattern; `content` is what it should
    # hold now, so keep it where the point in time is.
    disk = t.drive("disk0", size=MiB)
    disk.write(0x5A, offset=64 * KiB, length=128 * KiB)
    before = disk.content

    # A step has its own section in the golden. What was sent and answered, events, guest requests and states in it are
    # recorded and compared with golden/{number}.out.
    t.step("the backup runs to its end")
    job = t.drive_backup(disk, "target.img").wait()

    # The promise itself is expected here, so that a reader need not find it in the golden.
    job.expect_completed().expect(len=MiB, offset=MiB)
    job.target.expect_identical(before)

    # More that a case can do:
    #   t.blockdev_backup(disk, t.node("target0", size=MiB))       to a node; t.backup() chooses by the target
    #   t.expect_error("drive-backup", device="nope", target="x", sync="full")     a refusal, its text in the golden
    #   t.qmp("query-jobs")    t.hmp("info block-jobs")            any command, recorded; t.ask() is unrecorded
    #   job.pause()  job.resume()  job.cancel()  job.set_speed(0)  job.expect_query(busy=False)
    #   t.drive("disk0", size=MiB, fault=FailOnce("read", errno.EIO))      a fault below it
    #   t.expect_before(job.state("running"), job.reply)           an order across lanes, which no golden has
    #   job.expect(offset=between(64 * KiB, MiB))                  a range; the golden reads offset=(asserted)
    #
    # Then: backcheck run {number} --on engine --on qemu     (leaves {number}.out.new when the golden does not fit)
    #       backcheck review {number}                        (shows it; you accept)
    # Remove these comments when the case says what you mean.
'''


def make_case(catalogue: Catalogue, title: str, number: str | None = None) -> Path:
    """Writes a new case file and returns its path. Raises UsageError when the title or the number will not do."""
    title = " ".join(title.split()).rstrip(".")
    slug = re.sub(r"[^a-z0-9]+", "_", title.lower().replace("'", "")).strip("_")[:SLUG_LENGTH].rstrip("_")
    if not slug:
        raise UsageError("a case needs a title that says what it promises; its file is named after its a-z and 0-9")
    if '"""' in title or "\\" in title:
        raise UsageError("a title has no quotes of three and no backslash")
    files = catalogue.case_files()
    number = case_number(number) if number else case_number(str(max(map(int, files), default=0) + 1))
    if number in files:
        raise UsageError(f"{number} is taken by {files[number].name}")
    path = catalogue.cases / f"{number}_{slug}.py"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE.format(title=title[0].upper() + title[1:], number=number))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return path
