"""The order in which QEMU lists the keys of an object that it builds itself, such as a json: filename.

It is the order of a hash table with 512 buckets, newest first in each; observed on all releases. Clients see it in
filenames and in which of several unknown options is named first.
"""

from collections.abc import Iterable

from backcheck_engine.json_value import JsonObject, JsonValue

_BUCKETS = 512
_SEED = 0x238F13AF
_FACTOR = 1103515243
_INCREMENT = 12345


def _bucket(key: str) -> int:
    encoded = key.encode()
    total = _SEED * len(encoded)
    for index, byte in enumerate(encoded):
        total += byte << (index * 5 % 24)
    return (_FACTOR * total + _INCREMENT) % 2**32 % _BUCKETS


def in_qemu_order(keys: Iterable[str]) -> list[str]:
    """`keys`, which came in this order, as QEMU goes through them."""
    newest_first = list(keys)[::-1]
    return sorted(newest_first, key=_bucket)


def ordered(value: JsonValue) -> JsonValue:
    """The same value with the keys of all objects in QEMU's order."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in in_qemu_order(value)}
    if isinstance(value, list):
        return [ordered(item) for item in value]
    return value


def json_text(tree: JsonObject) -> str:
    """The object as QEMU writes it into a filename: ASCII, keys in its order, ", " and ": " between."""
    import json  # only a name that is not a plain filename needs it

    return json.dumps(ordered(tree))
