"""Transactions, and machines that end and start again."""

from copy import deepcopy
from dataclasses import dataclass

from tests.model.backups import Backup, restarted
from tests.model.bitmaps import AddBitmap, ChangeBitmap, MergeBitmaps
from tests.model.disks import Job
from tests.model.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """All of these or nothing; an abort at the end makes it nothing. Only backups alone can be grouped."""

    actions: tuple[Backup | AddBitmap | ChangeBitmap | MergeBitmaps, ...]
    grouped: bool
    abort: bool

    def tell(self, world: World) -> None:
        if self.abort:
            world.say(*_refused(self, world))
            return
        told = [_Told(action, world) for action in self.actions]
        jobs = [each.job for each in told if each.job]
        world.say(*(line for each in told for line in each.before))
        names = ", ".join(job.name for job in jobs)
        calls = ", ".join([*(each.call for each in told), *(["grouped=True"] if self.grouped else [])])
        world.say(f"{f'[{names}] = ' if jobs else ''}t.transaction({calls})")
        for each in told:
            each.commit()


class _Told:
    """An action, its lines, and what it does to the model when the transaction succeeds."""

    def __init__(self, action: Backup | AddBitmap | ChangeBitmap | MergeBitmaps, world: World) -> None:
        self.action, self.world = action, world
        self.job: Job | None = None
        start = len(world.lines)
        self.call = self._call(action)
        self.before = world.lines[start:]
        del world.lines[start:]

    def _call(self, action: Backup | AddBitmap | ChangeBitmap | MergeBitmaps) -> str:
        world = self.world
        match action:
            case Backup():
                self.job = action.prepare(world)
                return f"t.{action.call(world, self.job, '_action')}"
            case AddBitmap():
                bitmap = action.make(world)
                world.say(f'{bitmap.name} = t.bitmap({action.disk}, "{bitmap.name}")')
                return f'{action.disk}.add_bitmap_action("{bitmap.name}"{action.arguments})'
            case ChangeBitmap():
                action.change(world.bitmaps[action.name])
                return f'{action.name}.action("{action.verb}")'
            case MergeBitmaps():
                for name in action.sources:
                    world.bitmaps[action.target].merge(world.bitmaps[name])
                return f"{action.target}.merge_action({', '.join(action.sources)})"

    def commit(self) -> None:
        if isinstance(self.action, Backup):
            assert self.job is not None
            self.action.begin(self.world, self.job)


def _refused(transaction: Transaction, world: World) -> list[str]:
    """Its lines when it is undone: told in a world of its own, so that nothing has happened in this one."""
    undone = deepcopy(world)
    told = [_Told(action, undone) for action in transaction.actions]
    calls = [each.call for each in told]
    made = [line for each in told for line in each.before if " = t." in line]
    for action in transaction.actions:
        if isinstance(action, Backup) and action.bitmap and action.mode == "always":
            # A job that has not started has copied nothing, whatever it would have copied.
            world.bitmaps[action.bitmap].fill()
    world.names |= {kind: number for kind, number in undone.names.items() if kind != "job"}
    nodes = [each.job.node for each in told if each.job and each.job.node]
    arguments = ", ".join([*calls, 'Action("abort")', 'error="Transaction aborted using Abort action"'])
    deleted = [f't.qmp("blockdev-del", node_name="{node}")' for node in nodes]
    step = ["", 't.step("a transaction is undone")']
    return [*step, *made, f"t.expect_transaction_error({arguments})", *deleted]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The machine ends in order and starts again; no disk has a job."""

    def tell(self, world: World) -> None:
        world.say("", 't.step("restart")', "t.restart()")
        restarted(world)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What was flushed is kept; jobs are gone, and bitmaps that were in use are inconsistent."""

    def tell(self, world: World) -> None:
        world.say("", *(f"{name}.flush()" for name in world.disks), 't.step("kill")', "t.kill()", "t.start()")
        for job in world.jobs:
            if job.node:
                world.say(f't.qmp("blockdev-del", node_name="{job.node}")')
            job.disk.job = None
        for name, bitmap in list(world.bitmaps.items()):
            if bitmap.in_image:
                bitmap.inconsistent, bitmap.successor = True, None
            else:
                del world.bitmaps[name], bitmap.disk.bitmaps[name]
        world.killed = True
        # blockdev-backup does not flush its target (TGT-18).
        world.held_expected = None
