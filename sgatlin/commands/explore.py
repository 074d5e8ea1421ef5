# SPDX-License-Identifier: Apache-2.0
"""`sgatlin explore`."""

import dataclasses
from pathlib import Path

import tyro

from sgatlin.errors import UserError

_EXTRA = "the explorer needs starlette and uvicorn: install them with `uv sync --extra explore`"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explore:
    """Look at a run's circuits in a browser: a local page over the model and its record."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    record: Path | None = None
    """Of the same model, by `sgatlin circuits record`; RUN/circuits by default."""
    classes: str = "lexicon"
    """Classes of words, to colour maps by: the story world's, or a JSON file {class: [words]}."""
    host: str = "127.0.0.1"
    """Address to listen at. Any other than this machine's own lets others reach the page; the token
    in the address is then all that keeps them out, and it travels unencrypted."""
    port: int = 0
    """0 for any that is free."""

    def __call__(self) -> None:
        try:
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
        except ImportError:
            raise UserError(_EXTRA) from None
        from sgatlin.circuits.labels import read_classes
        from sgatlin.circuits.notebook import Circuits
        from sgatlin.explore.explorer import Explorer
        from sgatlin.explore.serve import listening, serve

        classes = read_classes(self.classes)
        with listening(self.host, self.port) as socket:
            explorer = Explorer(Circuits.open(self.run, self.record), classes)
            print(f"{explorer.model.name}: {len(explorer.index.positions):,} recorded positions")
            print("reading the record and compiling...", flush=True)
            explorer.warm_up()
            serve(explorer, socket, self.host)
