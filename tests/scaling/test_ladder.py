# SPDX-License-Identifier: Apache-2.0
"""The paper's ladder has the sizes of its table, and the shipped configs are on it."""

import pytest

from sgatlin.config import load_config
from sgatlin.errors import UserError
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.scaling.flops import count_parameters, training_flops
from sgatlin.scaling.ladder import PAPER, SCALES, Ladder


@pytest.mark.parametrize(
    ("scale", "d_model", "n_layers", "d_hidden", "side", "peer_side"),
    # F: 8/3 D rounded down to a multiple of 256, at least 256; N: 16 + 12 s and 32 + 24 s squared.
    [
        (0.5, 64, 1, 256, 22, 44),
        (1.0, 128, 2, 256, 28, 56),
        (1.5, 192, 3, 512, 34, 68),
        (4.0, 512, 8, 1280, 64, 128),
        (6.0, 768, 12, 2048, 88, 176),
        (8.0, 1024, 16, 2560, 112, 224),
    ],
)
def test_sizes_at_a_scale(scale, d_model, n_layers, d_hidden, side, peer_side):
    assert (PAPER.d_model(scale), PAPER.n_layers(scale)) == (d_model, n_layers)
    layers = PAPER.layers(scale)
    for dense in ("mlp", "swiglu", "topk-mlp", "spark"):
        assert layers[dense].d_hidden == d_hidden
    assert layers["sgatlin"] == SgatlinConfig(n_channels=16, n_neurons=side**2, top_k=8, d_key=128)
    assert layers["peer"] == PeerConfig(n_channels=16, n_neurons=peer_side**2, top_k=8, d_key=128)
    assert layers["moe-paper"] == MoeConfig(
        n_experts=16, top_k=2, d_hidden=d_model, routing="paper"
    )


def test_there_are_half_steps_and_nothing_between():
    assert (SCALES[0], SCALES[1], SCALES[-1], len(SCALES)) == (0.5, 1, 9, 18)
    with pytest.raises(UserError, match=r"^scale=2\.25 gives a number of layers of 4\.5 on this "):
        PAPER.n_layers(2.25)
    with pytest.raises(UserError, match=r"^scale=0 gives a width of 0 "):
        PAPER.d_model(0)


def test_a_ladder_of_ones_own():
    ladder = Ladder(width=32, depth=4, n_channels=3, side=(2, 6), top_k=2, d_key=8)
    assert (ladder.d_model(1.5), ladder.n_layers(1.5), ladder.n_neurons(1.5)) == (48, 6, 121)
    layers = ladder.layers(1.5)
    assert layers["sgatlin"] == SgatlinConfig(n_channels=3, n_neurons=121, top_k=2, d_key=8)
    assert layers["peer"] == PeerConfig(n_channels=3, n_neurons=484, top_k=2, d_key=8)
    with pytest.raises(UserError, match=r"^scale=1\.25 gives a root of n_neurons of 9\.5 "):
        ladder.layers(1.25)


@pytest.mark.parametrize(("scale", "millions"), [("s4", 574), ("s6", 2400), ("s8", 6700)])
def test_parameters_of_the_papers_models(scale, millions):
    total = count_parameters(load_config(f"slimpajama:sgatlin-{scale}").model).total
    assert total / 1e6 == pytest.approx(millions, rel=0.02)


def test_a_run_of_the_ladder_spends_its_budget():
    for spec in ("slimpajama", "slimpajama:moe-s2", "slimpajama:mlp-s8"):
        config = load_config(spec)
        tokens = config.train.steps * config.tokens_per_step
        flops = training_flops(config.model, config.data.seq_len).paper * tokens
        assert flops == pytest.approx(6e18, rel=1e-4)


def test_the_papers_settings():
    config = load_config("slimpajama:sgatlin-s4")
    assert config == load_config("slimpajama")
    assert (config.data.seq_len, config.data.batch_size) == (2048, 128)
    optimizer = config.optimizer
    # A weight decay of 1e-4 a step at the peak rate.
    assert optimizer.learning_rate * optimizer.weight_decay == pytest.approx(1e-4)
    assert (optimizer.learning_rate, optimizer.clip_norm) == (1e-3, 1.0)
    assert (optimizer.b1, optimizer.b2) == (0.9, 0.999)
    assert (optimizer.schedule.warmup_steps, optimizer.schedule.decay_fraction) == (1000, 0.2)

    tinystories = load_config("tinystories")
    assert tinystories.model.feed_forward == SgatlinConfig(
        n_channels=8, n_neurons=1024, top_k=8, d_key=128
    )
    assert (tinystories.data.seq_len, tinystories.data.batch_size) == (1024, 256)
    assert tinystories.optimizer.clip_norm == 2.0


def test_a_ladder_may_have_a_least_depth():
    ladder = Ladder(least_depth=4)
    assert [ladder.n_layers(s) for s in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)] == [4, 4, 4, 5, 6, 8]
    assert [ladder.d_model(s) for s in (1.0, 1.5, 2.0)] == [128, 192, 256]
