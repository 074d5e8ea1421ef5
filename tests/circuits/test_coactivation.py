# SPDX-License-Identifier: Apache-2.0
"""Pairs of hand-made choices; under choices made as the null makes them there is no lift."""

import numpy as np
import pytest

from sgatlin.circuits.coactivation import coactivation
from sgatlin.errors import UserError


def test_pmi_and_lift_by_hand():
    """4 positions of 2 from 4 neurons, (a, b) = (0, 0), (0, 1), (1, 0), (1, 1)."""
    found = coactivation(np.array([[0, 3], [0, 3], [0, 1], [2, 3]]), None, 4)
    pairs = [tuple(pair) for pair in found.pairs.tolist()]
    assert dict(zip(pairs, found.counts.tolist(), strict=True)) == {(0, 3): 2, (0, 1): 1, (2, 3): 1}
    at = pairs.index((0, 3))
    assert found.pmi[at] == pytest.approx(np.log(2 / 4 / (3 / 4 * 3 / 4)))
    # Ordered pairs of choices, 8: of a-halves (0,1) 2, (1,0) 2, (0,0) 2, (1,1) 2; of b-halves
    # (0,1) 4 and (1,0) 4. So the null's (0, 3) is 1/4 * 1/2, and no pair is of one neuron.
    assert found.lift[at] == pytest.approx(2 / 4 / (2 * 1 / 4 * 1 / 2))
    # Marginals are even: null PMI = log(2 * 1/8 / (1/2 * 1/2)).
    assert found.null_pmi[at] == pytest.approx(np.log(2 / 8 / (1 / 4)))


def test_the_means_are_sums_over_all_pairs():
    rng = np.random.default_rng(1)
    chosen = np.argsort(rng.random((50, 9)) ** np.arange(1, 10), axis=1)[:, :3]
    found = coactivation(chosen, None, 9)
    halves = [np.zeros((3, 3)), np.zeros((3, 3))]
    marginals = [
        np.bincount(half.reshape(-1), minlength=3) / 150 for half in (chosen // 3, chosen % 3)
    ]
    for row in chosen:
        for i in row:
            for j in row:
                if i != j:
                    halves[0][i // 3, j // 3] += 1 / 300
                    halves[1][i % 3, j % 3] += 1 / 300
    null = {}
    for i in range(9):
        for j in range(9):
            p = halves[0][i // 3, j // 3] * halves[1][i % 3, j % 3]
            if i != j and p > 0:
                null[i, j] = p
    total = sum(null.values())
    q = [marginals[0][i // 3] * marginals[1][i % 3] for i in range(9)]
    mean = sum(p / total * np.log(6 * p / total / (9 * q[i] * q[j])) for (i, j), p in null.items())
    assert found.mean_null_pmi == pytest.approx(mean)
    assert found.mean_pmi == pytest.approx(np.average(found.pmi, weights=found.counts))


def test_independent_halves_have_no_lift_though_sub_keys_are_shared():
    """Both choices of a position share a, and their b are drawn apart from it."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 60_000)
    b = np.argsort(rng.random((60_000, 3)), axis=1)[:, :2]
    found = coactivation(a[:, None] * 3 + b, None, 9)
    assert len(found.lift) == 9
    np.testing.assert_allclose(found.lift, 1, atol=0.05)
    # P(i) = 1/3 * 2/3, and P(i, j) = 1/3 * 1/3 of those that share a; no others meet.
    np.testing.assert_allclose(found.pmi, np.log(9 / 4), atol=0.05)
    assert found.mean_null_pmi == pytest.approx(np.log(9 / 4), abs=0.05)


def test_two_channels_that_choose_alike_are_lifted_over_drawing_whole_neurons():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 4, (20_000, 1))
    alike = coactivation(one, one, 4, product=False)
    assert len(alike.pairs) == 4
    assert (alike.pairs[:, 0] == alike.pairs[:, 1]).all()
    np.testing.assert_allclose(alike.lift, 4, rtol=0.05)
    apart = coactivation(one, rng.permutation(one), 4)
    np.testing.assert_allclose(apart.lift, 1, atol=0.1)
    assert apart.mean_null_pmi == pytest.approx(0, abs=0.01)


def test_neurons_that_share_scores_count_as_one_choice():
    groups = np.array([[0, 3], [0, 3], [0, 1], [2, 3]])
    neurons = (groups[..., None] * 4 + np.arange(4)).reshape(4, 8)
    expected = coactivation(groups, None, 4)
    found = coactivation(neurons, None, 16, group=4)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    two, apart = coactivation(neurons, neurons, 16, group=4), coactivation(groups, groups, 4)
    np.testing.assert_array_equal(two.lift, apart.lift)
    with pytest.raises(UserError, match="a channel of one group a token has no pairs"):
        coactivation(neurons[:, :4], None, 16, group=4)


def test_no_square_has_no_halves():
    with pytest.raises(UserError, match="--no-product"):
        coactivation(np.array([[0, 1]]), None, 8)
    with pytest.raises(UserError, match=r"^n_neurons / group=2 is no square: name --no-product"):
        coactivation(np.array([[0, 1, 2, 3]]), None, 8, group=4)
