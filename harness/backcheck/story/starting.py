"""How a case starts backups, alone or together in a transaction."""

from collections.abc import Sequence
from typing import Unpack

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, JsonValue
from backcheck.qmp import Exchange
from backcheck.story.backups import NEXT_JOB_ID, BackupAction, BackupOptions, DriveBackupOptions, SyncMode
from backcheck.story.contents import Content
from backcheck.story.conversation import Conversation
from backcheck.story.disks import Drive, Node
from backcheck.story.images import Image
from backcheck.story.jobs import Job
from backcheck.story.transactions import Action

DEFAULT_TARGET = "target.img"


class Starting(Conversation):
    """drive-backup, blockdev-backup, transaction: commands that start jobs."""

    def existing_image(self, name: str, *, format: str | None = None, content: Content | None = None) -> Image:
        """An image file that something else makes, as the target of a drive-backup."""
        return Image(self._session, name, format or self._session.format, content or Content(size=0))

    # One backup

    def drive_backup(
        self,
        device: Node | str,
        target: Image | str = DEFAULT_TARGET,
        *,
        sync: SyncMode = "full",
        job_id: str | None = NEXT_JOB_ID,
        **options: Unpack[DriveBackupOptions],
    ) -> Job:
        """Starts drive-backup, which must succeed; `job.target` is then the image it writes.

        job_id: None leaves it out, so that QEMU uses the drive's id. Options have an underscore where QMP has `-`.
        """
        return self._start(self.drive_backup_action(device, target, sync=sync, job_id=job_id, **options))

    def blockdev_backup(
        self,
        device: Node | str,
        target: Node | str,
        *,
        sync: SyncMode = "full",
        job_id: str | None = NEXT_JOB_ID,
        **options: Unpack[BackupOptions],
    ) -> Job:
        """Starts blockdev-backup to a node or drive, which must succeed."""
        return self._start(self.blockdev_backup_action(device, target, sync=sync, job_id=job_id, **options))

    def backup(
        self,
        device: Node | str,
        target: Node | Image | str = DEFAULT_TARGET,
        *,
        sync: SyncMode = "full",
        job_id: str | None = NEXT_JOB_ID,
        **options: Unpack[BackupOptions],
    ) -> Job:
        """blockdev-backup when the target is a node or drive, else drive-backup."""
        return self._start(self.backup_action(device, target, sync=sync, job_id=job_id, **options))

    # Several at once

    def drive_backup_action(
        self,
        device: Node | str,
        target: Image | str = DEFAULT_TARGET,
        *,
        sync: SyncMode = "full",
        job_id: str | None = NEXT_JOB_ID,
        **options: Unpack[DriveBackupOptions],
    ) -> BackupAction:
        """A drive-backup for `t.transaction()`, with the arguments of `t.drive_backup()`."""
        source = device.content if isinstance(device, Drive) else None
        if isinstance(target, Node):
            raise UsageError(f"drive-backup writes to a file: to {target.argument} it is t.blockdev_backup()")
        if isinstance(target, str):
            target = self.existing_image(target, format=options.get("format") or _format_of(device), content=source)
        name = device.argument if isinstance(device, Node) else device
        return BackupAction("drive-backup", name, target.name, sync, job_id, options, target)

    def blockdev_backup_action(
        self,
        device: Node | str,
        target: Node | str,
        *,
        sync: SyncMode = "full",
        job_id: str | None = NEXT_JOB_ID,
        **options: Unpack[BackupOptions],
    ) -> BackupAction:
        """A blockdev-backup for `t.transaction()`, with the arguments of `t.blockdev_backup()`."""
        if isinstance(target, Image):
            raise UsageError(f"blockdev-backup writes to a node: to the file {target.name} it is t.drive_backup()")
        target_name = target.argument if isinstance(target, Node) else target
        name = device.argument if isinstance(device, Node) else device
        return BackupAction("blockdev-backup", name, target_name, sync, job_id, options, None)

    def backup_action(
        self,
        device: Node | str,
        target: Node | Image | str = DEFAULT_TARGET,
        *,
        sync: SyncMode = "full",
        job_id: str | None = NEXT_JOB_ID,
        **options: Unpack[BackupOptions],
    ) -> BackupAction:
        """What `t.backup()` chooses, for `t.transaction()`."""
        if isinstance(target, Node):
            return self.blockdev_backup_action(device, target, sync=sync, job_id=job_id, **options)
        return self.drive_backup_action(device, target, sync=sync, job_id=job_id, **options)

    def transaction(self, *actions: Action, grouped: bool | None = None) -> list[Job]:
        """Sends a transaction that must succeed; returns the jobs of its backups, in their order.

        grouped: whether the completion-mode is `grouped` or `individual`; None leaves it out, which is individual.
        """
        named = self._with_job_ids(actions)
        exchange = self.exchange("transaction", _transaction_arguments(named, grouped))
        self._session.expect_success(exchange)
        return [self._begun(action, exchange) for action in named if isinstance(action, BackupAction)]

    def expect_transaction_error(
        self,
        *actions: Action,
        grouped: bool | None = None,
        error: str | None = None,
        error_class: str | None = None,
    ) -> Exchange:
        """Sends a transaction that must be refused, as `t.expect_error()` has it.

        What it told of jobs that it made and took back is in this step.
        """
        arguments = _transaction_arguments(self._with_job_ids(actions), grouped)
        return self.expect_error("transaction", arguments, error=error, error_class=error_class)

    # Jobs that something else starts

    def hmp_job(self, line: str, job_id: str) -> Job:
        """A job that a line for the human monitor starts, `drive_backup -f disk0 t.img`; it must say nothing."""
        exchange = self.exchange("human-monitor-command", {"command-line": line})
        if exchange.value != "":
            self._session.fail(line, expected="no answer", got=str(exchange.value or exchange.description))
        job = self.job(job_id, exchange)
        job.state("running")
        return job

    def job(self, job_id: str, start: Exchange) -> Job:
        """A job that some other command started: `t.job("job0", t.exchange("blockdev-create", …))`."""
        job = Job(self._session, job_id, start)
        self._add_job(job)
        return job

    # How it is done

    def _start(self, action: BackupAction) -> Job:
        action = action.named(f"job{len(self._jobs)}")
        exchange = self.exchange(action.type, action.data)
        self._session.expect_success(exchange)
        return self._begun(action, exchange)

    def _begun(self, action: BackupAction, exchange: Exchange) -> Job:
        job = action.job(self._session, exchange)
        self._add_job(job)
        job.state("running")
        return job

    def _with_job_ids(self, actions: Sequence[Action]) -> list[Action]:
        """The actions, backups with the ids that they would get one by one."""
        named: list[Action] = []
        count = len(self._jobs)
        for action in actions:
            if isinstance(action, BackupAction):
                action, count = action.named(f"job{count}"), count + 1
            named.append(action)
        return named

    def _add_job(self, job: Job) -> None:
        if any(other.start is job.start and other.id == job.id for other in self._jobs):
            raise UsageError(f"{job.start.name} has started a job already that the case knows: keep that one")
        self._jobs.append(job)


def _format_of(device: Node | str) -> str | None:
    """The format that a target has when none is given, as far as the case knows."""
    return device.image.format if isinstance(device, Drive) else None


def _transaction_arguments(actions: Sequence[Action], grouped: bool | None) -> JsonObject:
    arguments: dict[str, JsonValue] = {"actions": [action.on_wire for action in actions]}
    if grouped is not None:
        arguments["properties"] = {"completion-mode": "grouped" if grouped else "individual"}
    return arguments
