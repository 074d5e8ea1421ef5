# SPDX-License-Identifier: Apache-2.0
"""The README's Python runs as it stands, one block after another."""

import re
from pathlib import Path

import jax
import numpy as np

README = Path(__file__).parent.parent / "README.md"


def test_python_blocks_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    y, y_again, gates = names["y"], names["y_again"], names["gates"]
    assert gates.indices.shape == gates.scores.shape == (2, 16, 8, 8)
    np.testing.assert_allclose(y_again, y, rtol=1e-4, atol=1e-5)
    nonzero = jax.tree.map(lambda gradient: bool((gradient != 0).any()), names["gradients"])
    assert all(jax.tree.leaves(nonzero))


def test_files_it_names_exist() -> None:
    text = README.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
