# SPDX-License-Identifier: Apache-2.0
"""Small files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path

from sgatlin.errors import UserError


def write_atomically(path: Path, text: str) -> None:
    """Writes a file so that a reader, or a machine after a crash, sees the old or the new text.

    Raises OSError where it cannot be written; the old text then stays.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    partial = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)  # mkstemp's own mode keeps others from reading
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_output(path: Path, text: str) -> None:
    """Writes a file that the user named, as `write_atomically`; its folder is made if need be.

    UserError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another") from None
