"""Which `paused running` pairs of jobs come from drained sections, and so from nothing that a rule speaks of.

QEMU pauses a job around every drained section and tells so; how often is no promise. A pair has another cause, and
stays, while something of that job is open:

- a verb that pauses it, from its reply until the job runs again after a resume;
- a verb that resumes it, from the command until its refusal, or until the job runs again;
- an error with action=stop, until the job runs again after a resume.

A pair that is over before the reply to a pause was under way when the command came: what a person pauses stays so.

A machine that goes down resumes all its jobs, to cancel them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from backcheck.transcript import Command, Entry, JobEvent, JobStatus, OtherEvent, Reply

# A command -> the argument that names the job, and whether it resumes.
_VERBS = {
    "job-pause": ("id", False),
    "block-job-pause": ("device", False),
    "job-resume": ("id", True),
    "block-job-resume": ("device", True),
}
_HMP = "human-monitor-command"
_HMP_VERBS = {"block_job_pause": False, "block_job_resume": True}


@dataclass(slots=True, kw_only=True)
class _Job:
    """What is known of one job at a point of the conversation."""

    open: bool = False
    resuming: bool = False
    paused_at: int | None = None
    """Where the job became `paused`, when that is the last thing it told."""
    open_when_paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verb:
    """A verb that was sent and is not answered yet."""

    job: str
    resumes: bool
    open_before: bool


@dataclass(slots=True, kw_only=True)
class _Conversation:
    """Follows a conversation in its true order and collects the places of the states to drop."""

    jobs: dict[str, _Job] = field(default_factory=dict)
    sent: dict[str, _Verb] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)

    def job(self, name: str) -> _Job:
        return self.jobs.setdefault(name, _Job())

    def command(self, entry: Command) -> None:
        self.sent.pop(entry.monitor, None)
        if found := _verb_of(entry):
            name, resumes = found
            job = self.job(name)
            self.sent[entry.monitor] = _Verb(job=name, resumes=resumes, open_before=job.open)
            if resumes:
                job.open = job.resuming = True

    def reply(self, entry: Reply) -> None:
        verb = self.sent.pop(entry.monitor, None)
        if verb is None:
            return
        job = self.job(verb.job)
        if not verb.resumes:
            job.open = job.open_when_paused = job.open or not _refused(entry)
        elif _refused(entry):
            job.open, job.resuming = verb.open_before, False
        elif job.paused_at is None:
            job.open = job.resuming = False

    def event(self, entry: JobEvent) -> None:
        job = self.job(entry.job)
        job.paused_at = None
        if entry.name == "BLOCK_JOB_ERROR" and entry.data.get("action") == "stop":
            job.open = True

    def shutdown(self) -> None:
        for job in self.jobs.values():
            job.resuming = job.resuming or job.open

    def status(self, entry: JobStatus) -> None:
        job = self.job(entry.job)
        if entry.status == "running" and job.paused_at is not None:
            if not (job.open and (job.open_when_paused or job.resuming)):
                self.dropped |= {job.paused_at, entry.at}
            elif job.resuming:
                job.open = job.resuming = False
        if entry.status == "null":
            del self.jobs[entry.job]
        else:
            job.paused_at = entry.at if entry.status == "paused" else None
            job.open_when_paused = job.open


def paused_running_pairs(entries: Iterable[Entry]) -> set[int]:
    """The places (`at`) of the states that belong to pairs without another cause."""
    conversation = _Conversation()
    for entry in sorted(entries, key=lambda entry: entry.at):
        match entry:
            case Command():
                conversation.command(entry)
            case Reply():
                conversation.reply(entry)
            case JobEvent():
                conversation.event(entry)
            case JobStatus():
                conversation.status(entry)
            case OtherEvent(name="SHUTDOWN"):
                conversation.shutdown()
    return conversation.dropped


def _verb_of(command: Command) -> tuple[str, bool] | None:
    """The job that a command pauses or resumes, and whether it resumes; None for other commands."""
    if command.name in _VERBS:
        key, resumes = _VERBS[command.name]
        return str(command.arguments.get(key)), resumes
    line = command.arguments.get("command-line", "") if command.name == _HMP else command.name
    words = str(line).split()
    if len(words) == 2 and words[0] in _HMP_VERBS:
        return words[1], _HMP_VERBS[words[0]]
    return None


def _refused(reply: Reply) -> bool:
    """Whether a verb was refused; the human monitor says so in its text."""
    return reply.error_class is not None or (isinstance(reply.value, str) and reply.value != "")
