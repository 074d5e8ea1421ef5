# SPDX-License-Identifier: Apache-2.0
"""The text and the set of one line of JSON, or in words what is wrong with it."""

import re
from collections.abc import Sequence

from pydantic_core import from_json

_KINDS = {
    bool: "a truth value",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "an array",
    str: "a string",
    type(None): "null",
}
# What the parser calls errors although the line is JSON.
_BEYOND_THE_PARSER = {
    "recursion limit exceeded": "nested too deeply",
    "number out of range": "a number of too many digits",
}
# In turn: a surrogate pair, a surrogate without its other half, any other escape.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_NAMES_TOLD = 10
_NAME_LENGTH = 40


class Fault(Exception):
    """A record is not a document; the message says why."""


def parse_json_line(
    line: bytes | bytearray, text_path: Sequence[str], set_path: Sequence[str] | None
) -> tuple[str, str | None]:
    """The text and, if a path to it is given, the set.

    A path is the names of fields from the outermost on. Of fields of one name the last counts.

    Raises:
      Fault: when the line is not a JSON object in UTF-8, has a surrogate without its other half, or
        the fields are missing or not strings; a set must not be empty.
    """
    try:
        record = from_json(line)
    except ValueError as error:
        raise Fault(_why_not_json(line, str(error))) from None
    if not isinstance(record, dict):
        raise Fault(f"JSON, but {_KINDS[type(record)]}: one object a line is needed")
    text = _string(record, text_path)
    if set_path is None:
        return text, None
    if not (set := _string(record, set_path)):
        raise Fault(f"field `{'.'.join(set_path)}` is empty: it must name a set")
    return text, set


def _string(record: dict, path: Sequence[str]) -> str:
    value: object = record
    for i, name in enumerate(path):
        if not isinstance(value, dict):
            raise Fault(f"field `{'.'.join(path[:i])}` is {_KINDS[type(value)]}, not an object")
        if name not in value:
            whose = f"the fields of `{'.'.join(path[:i])}`" if i else "its fields"
            raise Fault(f"has no field `{'.'.join(path[: i + 1])}`; {whose} are {_names(value)}")
        value = value[name]
    if not isinstance(value, str):
        raise Fault(f"field `{'.'.join(path)}` is {_KINDS[type(value)]}, not a string")
    return value


def _names(record: dict) -> str:
    """The fields of a record, which may be many, long and full of control characters."""
    names = [
        f"`{(name if name.isprintable() else ascii(name))[:_NAME_LENGTH]}`"
        for name in list(record)[:_NAMES_TOLD]
    ]
    if len(record) > _NAMES_TOLD:
        names.append(f"{len(record) - _NAMES_TOLD:,} more")
    return ", ".join(names) or "none"


def _why_not_json(line: bytes | bytearray, error: str) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as undecodable:
        return f"not UTF-8 at byte {undecodable.start + 1:,} of the line"
    for escape in _ESCAPE.finditer(text):
        if escape[1]:
            return f"a lone surrogate {escape[0]}"
    what, _, column = error.rpartition(" at line 1 column ")
    if what in _BEYOND_THE_PARSER:
        return f"{_BEYOND_THE_PARSER[what]} at byte {column} of the line"
    what = what.replace("EOF while parsing", "the line ends within")
    return f"not JSON: {what} at byte {column} of the line"
