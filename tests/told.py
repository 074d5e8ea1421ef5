# SPDX-License-Identifier: Apache-2.0
"""What a command tells the user who gave it bad input."""

import re

import pytest

from sgatlin.cli import main


def told(arguments: str | list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """The one line on stderr of a command that ends with this exit code, without its beginning."""
    with pytest.raises(SystemExit) as stop:
        main(arguments.split() if isinstance(arguments, str) else arguments)
    line = capsys.readouterr().err
    assert stop.value.code == code
    assert re.fullmatch(r"sgatlin: [^\n]+\n", line), line
    return line.removeprefix("sgatlin: ")
