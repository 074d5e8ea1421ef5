# SPDX-License-Identifier: Apache-2.0
"""Benchmarks told nonsense say so in one line, before they train or time anything."""

import pytest

from benchmarks import dead_neurons, equal_flops, grouped, neurons, step
from sgatlin.errors import UserError


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (lambda: step.Arguments(config="nope"), "config='nope' is not one of slimpajama, story"),
        (lambda: step.Arguments(seq_len=0), "seq_len=0 must be at least 1"),
        (
            lambda: step.main(step.Arguments(variants=("mlp", "nope"))),
            "variants='nope' is not one of sgatlin, sgatlin-balanced, ",
        ),
        (
            lambda: dead_neurons.main(dead_neurons.Arguments(remedies=("nope",))),
            "remedies='nope' is not one of none, resample at 75 %",
        ),
        (
            lambda: equal_flops.main(equal_flops.Arguments(variants=("nope",))),
            "variants='nope' is not one of sgatlin, ",
        ),
        (lambda: neurons.Shape(n_neurons=5), "n_neurons=5 is not a perfect square"),
        (lambda: grouped.Shape(n_experts=0), "n_experts=0 must be at least 1"),
    ],
)
def test_bad_input_is_told_in_one_line(start, message):
    with pytest.raises(UserError) as caught:
        start()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_memory_is_compared_without_running_a_step(capsys, monkeypatch):
    monkeypatch.setattr(step, "init_state", None)  # nothing to run from
    step.main(step.Arguments(variants=("mlp",), batch_size=1, seq_len=16, remat="full", repeats=0))
    *_, line = capsys.readouterr().out.splitlines()
    name, planned, _, estimated, _, ratio = line.split()
    assert name == "mlp"
    assert float(ratio) == pytest.approx(float(estimated) / float(planned), abs=0.1)


def test_options_change_the_config():
    config = step.load_config("storyworld:mlp")
    arguments = step.Arguments(batch_size=3, seq_len=17, remat="dots")
    new = step.changed(config, arguments)
    assert (new.data.batch_size, new.data.seq_len, new.model.remat) == (3, 17, "dots")
    assert step.changed(config, step.Arguments()) == config
