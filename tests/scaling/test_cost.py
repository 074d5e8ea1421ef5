# SPDX-License-Identifier: Apache-2.0
"""The cost table says what the counting functions say, and the docs what the command says."""

import re
from pathlib import Path

import pytest

from sgatlin.cli import main
from sgatlin.config import load_config
from sgatlin.scaling.cost import cost, cost_table
from sgatlin.scaling.flops import count_parameters, forward_flops, training_flops
from sgatlin.scaling.ladder import layers
from sgatlin.scaling.layers import EQUATIONS, layer_table
from sgatlin.train.memory import training_memory

DOCS = Path(__file__).resolve().parents[2] / "docs/layers.md"


def number(text: str) -> float:
    return float(text.removesuffix(" MiB").replace(",", ""))


def test_what_is_told_of_a_config():
    config = load_config("storyworld:moe")
    told, model = cost(config), config.model
    parameters, memory = count_parameters(model), training_memory(config)
    assert told["layer"] == "moe"
    assert told["width x layers"] == "128 x 4"
    assert number(told["parameters"]) == parameters.total
    assert number(told["parameters, active per token"]) == parameters.active
    assert number(told["one feed-forward layer: active per token"]) == parameters.active_layer
    # Two of 16 experts, each of three matrices of 128 by 128 and three biases, in two bytes.
    chosen = told["one feed-forward layer: bytes chosen per token (bf16)"]
    assert number(chosen) == 2 * 2 * (3 * 128 * 128 + 3 * 128)
    forward, training = forward_flops(model, 256), training_flops(model, 256)
    assert number(told["forward FLOPs per token, layers only (paper)"]) == forward.paper
    causal = told["forward FLOPs per token, layers only, causal attention (causal)"]
    assert number(causal) == forward.causal
    assert number(told["tokens"]) == 1200 * 4 * 256
    assert number(told["training FLOPs, with unembedding (full)"]) == pytest.approx(
        training.full * 1200 * 4 * 256, rel=0.005
    )
    assert number(told["memory: gradients"]) == round(memory.gradients / 2**20, 1)
    assert number(told["memory: in all, about, on a cpu"]) == round(memory.total / 2**20, 1)


def test_columns_are_as_wide_as_they_need():
    small, large = load_config("storyworld"), load_config("tinystories")
    lines = cost_table({"a": small, "a much longer name": large}).splitlines()
    assert re.fullmatch(r" +a  a much longer name", lines[0])
    assert {len(line) for line in lines} == {len(lines[0])}
    assert re.fullmatch(r"steps +1,200 +1,800", next(x for x in lines if x.startswith("steps")))


def test_the_command_compares_configs(capsys):
    main(["cost", "storyworld:mlp", "storyworld:spark"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["storyworld:mlp", "storyworld:spark"]
    assert lines[1].split() == ["layer", "mlp", "spark"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["cost"], "sgatlin cost needs configs, such as tinystories slimpajama:moe-s4"),
        (["cost", "tinystory"], "unknown config 'tinystory': did you mean 'tinystories'?"),
        (["cost", "slimpajama:sgatlin-s10"], "config slimpajama has no variant 'sgatlin-s10'"),
    ],
)
def test_bad_input(capsys, arguments, line):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1


def test_the_layers_page_has_the_table_that_the_command_prints(capsys):
    main(["cost", "--layers"])
    assert capsys.readouterr().out == layer_table() + "\n"
    assert layer_table() in DOCS.read_text(encoding="utf-8")


def test_every_variant_has_an_equation_or_shares_one():
    assert {*EQUATIONS, "peer-matched"} == set(layers(256, n_channels=8, n_neurons=1024))
