"""Flags that are combined on the way of every request, at a fraction of what `enum.Flag` takes for it."""

import enum
from typing import TypeVar

_FlagT = TypeVar("_FlagT", bound=enum.Flag)


def quick_flag(flags: type[_FlagT]) -> type[_FlagT]:
    """A class decorator: `&`, `|` and `in` look the result up among the members that there are.

    It has to be a decorator: `enum` gives each class of flags operators of its own when it is made.
    """
    members = flags._value2member_map_

    def both(self: _FlagT, other: _FlagT) -> object:
        value = self._value_ & other._value_
        # A combination becomes a member when it is met for the first time.
        return members[value] if value in members else flags(value)

    def either(self: _FlagT, other: _FlagT) -> object:
        value = self._value_ | other._value_
        return members[value] if value in members else flags(value)

    def contains(self: _FlagT, other: _FlagT) -> bool:
        return bool(self._value_ & other._value_ == other._value_)

    for name, operator in (("__and__", both), ("__or__", either), ("__contains__", contains)):
        setattr(flags, name, operator)
    return flags
