# SPDX-License-Identifier: Apache-2.0
"""The JSON files of a study's results: reading one, and the header that a run's record has.

{"format": {"name": "sgatlin-isoflop-record", "version": 2}, "run": ..., "result": ..., ...}

A record without a header is of version 1, which had none of the fields that are optional now.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic

from sgatlin.errors import UserError

FORMAT_NAME = "sgatlin-isoflop-record"
FORMAT_VERSION = 2


def with_header(fields: dict[str, Any]) -> str:
    """A record's fields below the header of this version, as one line of JSON."""
    header = {"format": {"name": FORMAT_NAME, "version": FORMAT_VERSION}}
    return json.dumps(header | fields, separators=(",", ":"))


def without_header(content: Any, file: Path) -> Any:
    """A record's fields alone; UserError if the header is of another or of a newer format."""
    if not isinstance(content, dict) or "format" not in content:
        return content
    header = content["format"]
    version = header.get("version") if isinstance(header, dict) else None
    if version is None or header.get("name") != FORMAT_NAME or not isinstance(version, int):
        raise UserError(
            f"{file} is not the record of a run: its format is {json.dumps(header)}; move it to "
            "another folder"
        )
    if version > FORMAT_VERSION:
        raise UserError(
            f"{file} has version {version} of its format, newer than version {FORMAT_VERSION}, "
            "which this sgatlin reads: update sgatlin"
        )
    return {field: value for field, value in content.items() if field != "format"}


def read_file(
    adapter: pydantic.TypeAdapter,
    file: Path,
    unwrapped: Callable[[Any, Path], Any] = lambda content, file: content,
) -> Any:
    """What a file holds, `unwrapped` from its header; UserError if it is damaged."""
    try:
        content = unwrapped(json.loads(file.read_text(encoding="utf-8")), file)
        return adapter.validate_json(json.dumps(content), strict=True, extra="forbid")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read {file}: {error}; remove it, and it is made again") from None
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise UserError(
            f"{file}: {where}: {problem['msg']}; remove it, and it is made again"
        ) from None
