"""Types the values of nested options: a command line has only text where the schema has numbers and booleans."""

from __future__ import annotations

from backcheck_engine.block.options import parse_bool, parse_size
from backcheck_engine.errors import QmpError
from backcheck_engine.json_value import JsonValue
from backcheck_engine.qapi.validation import Validator


class TextValidator(Validator):
    """Checks a tree whose leaves are all text, as nested options on a command line give it, and types the leaves."""

    def integer(self, value: JsonValue, type_name: str, path: str) -> int:
        if not isinstance(value, str):
            return super().integer(value, type_name, path)
        if type_name == "size":
            return parse_size(path, value)
        try:
            number = int(value, 0)
        except ValueError as error:
            raise QmpError.generic(f"Parameter '{path}' expects integer") from error
        return super().integer(number, type_name, path)

    def scalar(self, value: JsonValue, type_name: str, path: str) -> JsonValue:
        if type_name == "bool" and isinstance(value, str):
            return parse_bool(path, value)
        return super().scalar(value, type_name, path)
