# SPDX-License-Identifier: Apache-2.0
"""What all figures need: matplotlib, and a place to be written to."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from sgatlin.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_matplotlib() -> None:
    """UserError if it is not installed."""
    if not importlib.util.find_spec("matplotlib"):
        raise UserError("figures need matplotlib: install it with `uv sync --extra circuits`")


def save(figure: "Figure", path: Path, *, dpi: int = 150) -> list[Path]:
    """Writes PATH.png and PATH.svg, the same bytes for the same figure.

    UserError where they cannot be written.
    """
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in files:
            metadata = {"Software": None} if file.suffix == ".png" else {"Date": None}
            figure.savefig(file, dpi=dpi, metadata=metadata)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another") from None
    return files
