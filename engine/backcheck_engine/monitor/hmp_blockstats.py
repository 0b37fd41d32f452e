"""The human monitor's `info blockstats`: what is counted of each device's requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from backcheck_engine.json_value import JsonObject
from backcheck_engine.monitor import registry
from backcheck_engine.release import QEMU_11_1

if TYPE_CHECKING:
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.hmp_line import HmpArguments

_COUNTERS: Final = (
    *("rd_bytes", "wr_bytes", "rd_operations", "wr_operations", "flush_operations"),
    *("wr_total_time_ns", "rd_total_time_ns", "flush_total_time_ns", "rd_merged", "wr_merged", "idle_time_ns"),
)
_HEAD: Final = f"{'bytes':>31}{'operations':>17}{'total_time_ns':>25}{'merged':>11}\n"
_ROWS: Final = (("Read", "rd"), ("Write", "wr"), ("Flush", "flush"))
_COLUMNS: Final = (("bytes", 20), ("operations", 17), ("total_time_ns", 25), ("merged", 11))
"""Of a row of 11.1 and later: what is counted, and how wide it is shown."""


async def info_blockstats(context: Context, arguments: HmpArguments) -> str:
    devices = cast("list[JsonObject]", await registry.handler("query-blockstats")(context, {}))
    shown = _table if context.release >= QEMU_11_1 else _line
    between = "\n" if context.release >= QEMU_11_1 else ""
    return between.join(shown(str(device["device"]), cast("JsonObject", device["stats"])) for device in devices)


def _line(name: str, stats: JsonObject) -> str:
    return f"{name}: {' '.join(f'{counter}={stats.get(counter, 0)}' for counter in _COUNTERS)}\n"


def _table(name: str, stats: JsonObject) -> str:
    text = f"{name}: idle_time_ns={stats.get('idle_time_ns', 0)}\n{_HEAD}"
    for row, prefix in _ROWS:
        cells = (f"{stats.get(f'{prefix}_{column}', ''):>{width}}" for column, width in _COLUMNS)
        text += f"{row + ':':<11}{''.join(cells)}".rstrip() + "\n"
    return text
