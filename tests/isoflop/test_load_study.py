# SPDX-License-Identifier: Apache-2.0
"""Studies are loaded by name, path and variant; what is wrong with a file is told in a line."""

import re
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.isoflop.study import load_study

STUDY_FILE = """
from sgatlin.config import Config, DataConfig, StoryWorld, TrainConfig
from sgatlin.isoflop.budget import TokenBudget
from sgatlin.isoflop.grid import Grid
from sgatlin.isoflop.study import Study
from sgatlin.nn.transformer import TransformerConfig

def config(layer, scale):
    return Config(
        name="study",
        model=TransformerConfig(vocab_size=64, d_model=64, n_layers=1),
        data=DataConfig(source=StoryWorld(), seq_len=16, batch_size=4),
        train=TrainConfig(steps=200),
    )

def study(layer="a", scales=(1.0,), config=config):
    grid = Grid(budgets=(TokenBudget(tokens=6400),), layers=(layer,), scales=scales)
    return Study(name=f"study-of-{layer}", title="Made", config=config, grids=(grid,))

"""


def told(spec: str) -> str:
    """The line of the UserError that loading raises."""
    with pytest.raises(UserError) as caught:
        load_study(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def study_file(folder: Path, studies: str) -> str:
    path = folder / "mine.py"
    path.write_text(STUDY_FILE + studies)
    return str(path)


def test_a_study_is_loaded_by_path_and_variant(tmp_path):
    path = study_file(tmp_path, 'STUDIES = {"first": study, "second": lambda: study("b")}')
    assert load_study(path).name == load_study(f"{path}:first").name == "study-of-a"
    assert load_study(f"{path}:second").name == "study-of-b"


@pytest.mark.parametrize(
    ("studies", "variant", "line"),
    [
        ("", "", r"mine\.py has no STUDIES: a dict from name to a function giving a Study$"),
        ("STUDIES = {}", "", r"mine\.py has no STUDIES"),
        ('STUDIES = {"x": study}', ":y", r"mine\.py has no variant 'y': there are x$"),
        ('STUDIES = {"x": lambda: 3}', "", r"mine\.py returns int, not a Study$"),
        (
            'STUDIES = {"x": lambda: study(config=lambda layer, s: {}[layer])}',
            "",
            r"mine\.py: a at s=1: KeyError: 'a'$",
        ),
        (
            'STUDIES = {"x": lambda: study(config=lambda layer, s: None)}',
            "",
            r"mine\.py: a at s=1: returns NoneType, not a Config$",
        ),
    ],
)
def test_what_is_wrong_with_a_study_file_is_one_line(tmp_path, studies, variant, line):
    assert re.search(line, told(study_file(tmp_path, studies) + variant))


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("pile_mx", r"^unknown study 'pile_mx': did you mean 'pile_mix'\?"),
        ("nowhere.py", r"^study file nowhere\.py does not exist$"),
        ("pile_mix:big", r"^study pile_mix has no variant 'big': there are pile_mix, toy$"),
    ],
)
def test_a_study_that_there_is_not_is_one_line(spec, line):
    assert re.search(line, told(spec))
