# SPDX-License-Identifier: Apache-2.0
"""Given back its own gates a run is itself; given another's it moves; intervals count nouns."""

import json

import numpy as np
import pytest

from sgatlin.circuits.clustered import Interval, clustered_weights, ratio_interval
from sgatlin.circuits.facts import Noun, Nouns, Template
from sgatlin.circuits.interventions import (
    AT_NOUN,
    OTHER_NOUN,
    Intervention,
    chosen,
    heat_map,
    interventions,
)
from sgatlin.circuits.patch_report import Report, draw_heat_map
from sgatlin.circuits.patching import Pair, Pairs, Patched, choose_pairs, patch
from sgatlin.errors import UserError
from sgatlin.nn.transformer import GateEdit
from tests.circuits.variants import LAYERS, variant

NOUNS = (
    Noun("a", 5, (30,)),
    Noun("b", 9, (31, 32)),
    Noun("c", 40, (33,)),
    Noun("d", 41, (34,)),
)
TEMPLATE = Template(before=(0, 7), after=(12,))
ELSEWHERE = Template(before=(0, 3, 8), after=())
PAIRS = [Pair(0, 1), Pair(1, 2), Pair(2, 0)]


@pytest.mark.parametrize("name", LAYERS)
def test_its_own_gates_change_nothing_to_the_bit(toy_run, name):
    model = variant(toy_run, name)
    table = interventions(model, TEMPLATE)
    found = patch(model, TEMPLATE, ELSEWHERE, NOUNS, PAIRS, table)
    identity = found.names.index("control: identity")
    np.testing.assert_array_equal(found.patched[identity], found.clean)
    all_at_noun = found.names.index(AT_NOUN)
    assert (found.patched[all_at_noun] != found.clean).all()


def test_a_patch_is_the_edit_by_hand(toy_run):
    """The difference of logits from the model's own pass over one pair, gates exchanged."""
    model = variant(toy_run, "sgatlin")
    replace = np.zeros((3, 4, 2), bool)
    replace[1, 2, 1] = True
    one = Intervention("one", "counterfactual", replace)
    found = patch(model, TEMPLATE, ELSEWHERE, NOUNS, PAIRS[:1], [one])
    other = model.trace(np.array([[0, 7, 9, 12]], np.int32))
    edited = model.trace(
        np.array([[0, 7, 5, 12]], np.int32), GateEdit(other.gates, replace[:, None])
    )
    logits_V = np.asarray(edited.logits[0, -1], np.float64)
    expected = logits_V[30] - np.log(np.exp(logits_V[31]) + np.exp(logits_V[32]))
    np.testing.assert_allclose(found.patched[0, 0], expected, rtol=1e-5, atol=1e-5)
    assert found.flipped[0, 0] == (max(logits_V[31], logits_V[32]) > logits_V[30])


def test_effects_of_differences_by_hand():
    found = Patched(
        pairs=(Pair(0, 1), Pair(1, 0)),
        names=("one",),
        clean=np.array([2.0, 4.0]),
        counterfactual=np.array([-2.0, 2.0]),
        patched=np.array([[1.0, 2.0]]),
        flipped=np.array([[False, True]]),
    )
    effect = found.effects()[0]
    assert effect.mean_of_ratios.value == pytest.approx((1 / 4 + 2 / 2) / 2)
    assert effect.ratio_of_means.value == pytest.approx(3 / 6)
    assert effect.rank_flip.value == 0.5
    report = Report("run", "The {noun} was", Nouns(NOUNS, 1), Pairs(found.pairs, 2), [effect])
    told = json.loads(report.json(seed=3))
    assert told["effects"][0]["ratio_of_means"]["value"] == pytest.approx(0.5)
    assert (told["seed"], told["nouns_left_out"], told["pairs_left_out"]) == (3, 1, 2)
    assert "| one | 0.625 (" in report.markdown()
    assert "one             0.625 (" in report.text()


def test_beyond_a_control_is_the_difference_pair_by_pair():
    found = Patched(
        pairs=(Pair(0, 1), Pair(1, 0)),
        names=("one", "control: other"),
        clean=np.array([2.0, 4.0]),
        counterfactual=np.array([-2.0, 2.0]),
        patched=np.array([[1.0, 2.0], [1.5, 4.0]]),
        flipped=np.array([[True, True], [False, True]]),
    )
    beyond = found.beyond("one", "control: other")
    assert beyond.name == "one, beyond other"
    assert beyond.mean_of_ratios.value == pytest.approx((0.5 / 4 + 2 / 2) / 2)
    assert beyond.ratio_of_means.value == pytest.approx(2.5 / 6)
    assert beyond.rank_flip.value == 0.5
    assert found.beyond("one", "one").ratio_of_means == Interval(0, 0, 0)


def test_an_interval_that_is_not_defined_is_null_in_json():
    same = np.ones(2)
    pairs = (Pair(0, 1), Pair(1, 0))
    found = Patched(pairs, ("one",), same, same, same[None], np.zeros((1, 2), bool))
    report = Report("run", "", Nouns(NOUNS, 0), Pairs(pairs, 0), found.effects())
    assert json.loads(report.json())["effects"][0]["mean_of_ratios"]["value"] is None


def test_a_pair_counts_as_often_as_both_its_nouns():
    weights_RB = clustered_weights([Pair(3, 8), Pair(8, 3), Pair(3, 5)])
    np.testing.assert_array_equal(weights_RB[:, 0], weights_RB[:, 1])
    # Three draws in all: two nouns' counts multiply to at most 1 * 2.
    assert set(np.unique(weights_RB)) == {0.0, 1.0, 2.0}


def test_equal_values_have_no_width():
    weights_RB = clustered_weights(PAIRS)
    interval = ratio_interval(np.full(3, 0.5), np.ones(3), weights_RB)
    assert interval == Interval(0.5, 0.5, 0.5)


def test_pairs_that_the_model_knows(toy_run):
    model = variant(toy_run, "sgatlin")
    every = choose_pairs(model, TEMPLATE, NOUNS, known_only=False)
    assert (len(every.chosen), every.n_left_out) == (12, 0)
    known = choose_pairs(model, TEMPLATE, NOUNS)
    assert len(known.chosen) + known.n_left_out == 12
    for pair in known.chosen:
        logits_V = np.asarray(model.trace(TEMPLATE.tokens([NOUNS[pair.clean]])).logits[0, -1])
        own, other = (logits_V[list(NOUNS[index].answers)].max() for index in pair)
        assert own > other
    assert len(choose_pairs(model, TEMPLATE, NOUNS, known_only=False, most=2).chosen) == 2


def test_three_nouns_have_no_two_others(toy_run):
    model = variant(toy_run, "sgatlin")
    with pytest.raises(UserError, match="need four nouns"):
        patch(model, TEMPLATE, ELSEWHERE, NOUNS[:3], PAIRS[:1], heat_map(model, TEMPLATE))


def test_chosen_places(toy_run):
    model = variant(toy_run, "sgatlin")
    some = chosen(model, TEMPLATE, layers=[1], positions=[2, 3])
    assert some.name == "layers 1, positions 2 3"
    assert some.replace.sum() == 2 * model.layer.n_channels
    assert some.replace[1, 2:].all()
    with pytest.raises(UserError, match="positions=4: there are 0 to 3"):
        chosen(model, TEMPLATE, positions=[4])


def test_the_controls_are_at_the_noun(toy_run):
    table = {one.name: one for one in interventions(variant(toy_run, "sgatlin"), TEMPLATE)}
    np.testing.assert_array_equal(table[OTHER_NOUN].replace, table[AT_NOUN].replace)
    assert table[AT_NOUN].replace[:, TEMPLATE.position].all()


def test_the_heat_map_is_written(tmp_path):
    files = draw_heat_map(np.array([[0.1, -0.4]]), ["a", "$"], tmp_path / "h" / "map", "t")
    assert [file.name for file in files] == ["map.png", "map.svg"]
    assert all(file.stat().st_size > 1000 for file in files)
