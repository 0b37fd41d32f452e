"""Actions of a transaction, as a case writes them."""

from collections.abc import Mapping

from backcheck.json_types import JsonObject, JsonValue, as_json
from backcheck.story.expectations import wire_name


class Action:
    """One action: `Action("blockdev-snapshot", node="a", overlay="b")`.

    Names of keyword arguments have an underscore where QMP has `-`; those in `data` are taken as they are.
    """

    def __init__(self, type: str, data: Mapping[str, object] | None = None, /, **more: JsonValue) -> None:
        self.type = type
        self.data: JsonObject = {
            **{key: as_json(value) for key, value in (data or {}).items()},
            **{wire_name(key): value for key, value in more.items()},
        }

    @property
    def on_wire(self) -> JsonObject:
        """The member of the command's `actions`."""
        return {"type": self.type, "data": self.data}
