# SPDX-License-Identifier: Apache-2.0
"""Benchmarks told nonsense say so in one line, before they train or time anything."""

import pytest

from benchmarks import dead_neurons, equal_flops, grouped, usage
from sgatlin.errors import UserError


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (lambda: usage.Arguments(repeats=0), "repeats=0 must be at least 1"),
        (
            lambda: usage.main(usage.Arguments(config="storyworld:mlp")),
            "config='storyworld:mlp' has no gates to count",
        ),
        (
            lambda: dead_neurons.main(dead_neurons.Arguments(remedies=("nope",))),
            "remedies='nope' is not one of none, resample at 75 %",
        ),
        (
            lambda: equal_flops.main(equal_flops.Arguments(variants=("nope",))),
            "variants='nope' is not one of sgatlin, ",
        ),
        (lambda: grouped.Shape(n_experts=0), "n_experts=0 must be at least 1"),
    ],
)
def test_bad_input_is_told_in_one_line(start, message):
    with pytest.raises(UserError) as caught:
        start()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
