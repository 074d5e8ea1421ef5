# SPDX-License-Identifier: Apache-2.0
"""Losses without neurons are those of a model without their weights; controls are alike in use."""

import itertools
import json

import jax
import numpy as np
import pytest

from sgatlin.circuits import ablation_report
from sgatlin.circuits.ablation import (
    Strengths,
    adjustment,
    alike,
    curves,
    documents_with,
    labelled,
    nats,
    powers_of_two,
    rows_at,
    strengths,
    strongest,
)
from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.recording import RecordingOptions, record_circuits
from sgatlin.commands.circuits_steer import CircuitsAblate, CircuitsSteer
from sgatlin.errors import UserError
from sgatlin.eval.command import store_for
from sgatlin.nn.transformer import GateEdit
from tests.circuits.test_steering import without


@pytest.fixture(scope="module")
def model(toy_run):
    return CircuitModel.open(str(toy_run))


@pytest.fixture(scope="module")
def record(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "toy"
    return record_circuits(model, store_for(model.loaded), path, RecordingOptions(tokens=600))


@pytest.fixture(scope="module")
def case(model, record):
    """Positions, the cluster of one frequent token, its documents, and how neurons are used."""
    positions = record.positions()
    tokens = positions["token"].to_numpy()
    inside = tokens == np.bincount(tokens).argmax()
    documents = documents_with(record, positions, inside, model.tokenizer.bos_id, most=3)
    return positions, inside, documents, strengths(record, inside)


def test_documents_are_those_of_the_record(model, record, case):
    positions, inside, documents, _ = case
    n = documents.inside_DT.sum() + documents.outside_DT.sum()
    table = positions.to_pylist()
    sequences = {row["sequence"] for row, is_in in zip(table, inside, strict=True) if is_in}
    assert len(documents.tokens_DT) == min(3, len(sequences))
    lengths = {s: sum(row["sequence"] == s for row in table) for s in sequences}
    assert n in {
        sum(lengths[s] for s in some)
        for some in itertools.combinations(sequences, len(documents.tokens_DT))
    }
    assert (documents.tokens_DT[:, 0] == model.tokenizer.bos_id).all()
    assert not (documents.inside_DT & documents.outside_DT).any()
    assert not documents.inside_DT[:, 0].any()
    # What comes next is the next position's token.
    row = np.flatnonzero(documents.outside_DT[0] | documents.inside_DT[0])
    np.testing.assert_array_equal(
        documents.targets_DT[0, row[:-1]], documents.tokens_DT[0, row[1:]]
    )


def test_the_loss_is_that_of_the_models_logits(model, case):
    _, _, documents, _ = case
    logits = np.asarray(model.trace(documents.tokens_DT).logits, np.float64)
    expected = -np.take_along_axis(
        logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True),
        documents.targets_DT[..., None],
        axis=-1,
    )[..., 0]
    np.testing.assert_allclose(nats(model, documents, None), expected, rtol=1e-4, atol=1e-5)


def test_left_out_is_as_without_their_weights_and_kept_as_without_the_others(model, case):
    _, _, documents, use = case
    layers = range(model.n_layers)
    chosen = strongest(use, 5, layers)
    shape = (model.n_layers, model.layer.n_channels, model.layer.n_neurons)
    for kind, gone in (("necessity", chosen), ("sufficiency", ~chosen)):
        adjust = adjustment(model, use, chosen, kind, layers, "zero")
        by_edit = nats(model, documents, GateEdit(adjust=adjust))
        by_weights = nats(without(model, gone.reshape(shape)), documents, None)
        np.testing.assert_allclose(by_edit, by_weights, rtol=1e-4, atol=1e-4)
    # In one layer alone, the others stay as they are.
    adjust = adjustment(model, use, strongest(use, 5, [1]), "sufficiency", [1], "zero")
    assert np.asarray(adjust.factors[0]).all()
    assert np.asarray(adjust.factors[1]).sum() == 5


def test_a_mean_takes_the_place_of_the_score(model, case):
    _, _, documents, use = case
    chosen = strongest(use, 4, [0])
    adjust = adjustment(model, use, chosen, "necessity", [0], "mean")
    own, edited = (
        jax.tree.map(np.asarray, model.trace(documents.tokens_DT, edit).gates)
        for edit in (None, GateEdit(adjust=adjust))
    )
    columns = own.indices[0] + model.layer.n_neurons * np.arange(model.layer.n_channels)[:, None]
    is_chosen = chosen[0][columns]
    assert is_chosen.any()
    expected = np.where(is_chosen, use.mean_LW[0][columns], own.scores[0])
    np.testing.assert_allclose(edited.scores[0], expected, rtol=1e-5)


def test_strengths_are_means_by_hand(record, case):
    _, inside, _, use = case
    dense = record.rows(1).dense().astype(np.float64)
    np.testing.assert_allclose(use.cluster_LW[1], np.abs(dense[inside]).mean(0), rtol=1e-5)
    np.testing.assert_allclose(use.overall_LW[1], np.abs(dense).mean(0), rtol=1e-5)
    counts = np.zeros(record.rows(1).width)
    np.add.at(counts, record.rows(1).indices, 1)
    means = dense.sum(0) / np.maximum(counts, 1)
    np.testing.assert_allclose(use.mean_LW[1], means, rtol=1e-4, atol=1e-6)


def test_controls_are_as_many_others_of_the_same_channel_and_alike_use():
    rng = np.random.default_rng(0)
    overall = np.tile(np.arange(50.0), 2)[None]
    use = Strengths(overall, overall, overall)
    chosen = np.zeros((1, 100), bool)
    chosen[0, [20, 21, 70]] = True
    drawn = alike(use, chosen, 50, rng)
    assert not (drawn & chosen).any()
    first, second = (np.flatnonzero(half) for half in np.split(drawn[0], 2))
    assert (len(first), len(second)) == (2, 1)
    assert all(abs(one - 20) <= 8 for one in [*first, *second])
    # Of a channel whose neurons are all chosen none is left.
    assert alike(use, np.ones((1, 100), bool), 50, rng).sum() == 0


def test_controls_of_groups_are_as_many_neurons_of_other_whole_groups():
    # Two channels of eight groups of two.
    overall = np.repeat(np.arange(16.0), 2)[None]
    use = Strengths(overall, overall, overall)
    chosen = np.zeros((1, 32), bool)
    chosen[0, [4, 5, 6, 24, 25]] = True  # a group and half of one; a group of the other channel
    drawn = alike(use, chosen, 16, np.random.default_rng(0), group=2)
    first, second = drawn.reshape(2, 8, 2)
    assert sorted(first.sum(1).tolist()) == [0] * 6 + [1, 2]
    assert sorted(second.sum(1).tolist()) == [0] * 7 + [2]
    # None of a group that is chosen, and of half a group the same half.
    assert not (drawn.reshape(-1, 2).any(1) & chosen.reshape(-1, 2).any(1)).any()
    assert first[first.sum(1) == 1].tolist() == [[True, False]]
    assert alike(use, np.ones((1, 32), bool), 16, np.random.default_rng(0), group=2).sum() == 0


def test_curves_have_all_points_and_reports_tell_them(model, case, tmp_path):
    _, _, documents, use = case
    told = []
    points = curves(
        model, documents, use, counts=[1, model.width], draws=1, progress=lambda *p: told.append(p)
    )
    assert [(p.kind, p.r) for p in points] == [
        ("necessity", 1),
        ("necessity", model.width),
        ("sufficiency", 1),
        ("sufficiency", model.width),
    ]
    assert told[-1] == (8, 8)
    # With all of them kept nothing is left out.
    assert points[-1].cluster.value == points[-1].others.value == 0
    assert json.loads(ablation_report.as_json(points, seed=0))["points"][3]["cluster"]["value"] == 0
    assert "| 1 | " in ablation_report.markdown(points, "about")
    files = ablation_report.draw(points, tmp_path / "a" / "curves", "title")
    assert [file.stat().st_size > 1000 for file in files] == [True, True]


def test_counts_are_powers_of_two_to_a_quarter():
    assert powers_of_two(1024) == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert powers_of_two(2) == [1]


def test_commands_say_what_is_not_there(toy_run, record, capsys):
    path = record.path
    with pytest.raises(UserError, match="name one cluster"):
        CircuitsAblate(run=str(toy_run), record=path)()
    with pytest.raises(UserError, match="there is no 'dragon'"):
        CircuitsAblate(run=str(toy_run), record=path, kind="dragon")()
    with pytest.raises(UserError, match="no position of the cluster"):
        CircuitsAblate(run=str(toy_run), record=path, sequence=10**9)()
    with pytest.raises(UserError, match="there is no layer 9"):
        CircuitsAblate(run=str(toy_run), record=path, sequence=0, layers=(9,))()
    with pytest.raises(UserError, match="name what to steer by"):
        CircuitsSteer(run=str(toy_run))()
    CircuitsSteer(run=str(toy_run), prompt="The", scale=("0.0.1=0",), max_tokens=3)()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("--- without\nThe")
    assert "\n--- with\nThe" in printed.out


def test_clusters(record):
    positions = record.positions()
    row = positions.slice(5, 1).to_pylist()[0]
    assert rows_at(positions, row["sequence"], row["position"]).nonzero()[0].tolist() == [5]
    assert rows_at(positions, row["sequence"]).sum() > 1
    np.testing.assert_array_equal(
        labelled(np.array([0, 1, -1]), ("a", "b"), "b"), [False, True, False]
    )
