# SPDX-License-Identifier: Apache-2.0
"""Steps of several configs: what is changed, what a row says, and one that fails."""

import dataclasses

import jax
import pytest

from sgatlin.bench import step as bench
from sgatlin.bench.step import Changes, changed, named_configs, parse_mesh, step_rows, table
from sgatlin.config import load_config
from sgatlin.errors import UserError
from sgatlin.mesh import MeshConfig
from sgatlin.nn.mlp import MlpConfig


def with_mlp(config):
    return dataclasses.replace(
        config, model=dataclasses.replace(config.model, feed_forward=MlpConfig(d_hidden=32))
    )


def test_options_change_the_config():
    config = load_config("tinystories:mlp")
    changes = Changes(batch_size=3, seq_len=17, remat="dots", unroll=2, logits_dtype="compute")
    new = changed(config, changes)
    assert (new.data.batch_size, new.data.seq_len, new.model.remat) == (3, 17, "dots")
    assert (new.model.unroll, new.model.logits_dtype) == (2, "compute")
    assert new.train.accumulate == 1
    same = dataclasses.replace(config, train=dataclasses.replace(config.train, accumulate=1))
    assert changed(config, Changes()) == same


def test_a_row_for_each_implementation_of_a_layer_that_has_them():
    configs = named_configs(
        ["storyworld:sgatlin", "storyworld:mlp", "storyworld:peer"],
        Changes(implementations=("xla", "dense")),
    )
    assert list(configs) == [
        "storyworld:sgatlin, xla",
        "storyworld:sgatlin, dense",
        "storyworld:mlp",
        "storyworld:peer, xla",
        "storyworld:peer, dense",
    ]
    assert configs["storyworld:sgatlin, dense"].model.feed_forward.implementation == "dense"


def test_all_variants():
    configs = named_configs(["storyworld"], Changes(), all_variants=True)
    assert list(configs)[:2] == ["storyworld:sgatlin", "storyworld:sgatlin-balanced"]
    assert "storyworld:swiglu" in configs


@pytest.mark.parametrize("spec", ["storyworld:mlp", "nope"])
def test_all_variants_of_no_config(spec):
    with pytest.raises(UserError, match=f"--all-variants.*{spec!r}"):
        named_configs([spec], Changes(), all_variants=True)


def test_rows_tell_time_memory_and_costs(toy):
    rows, traces = zip(
        *step_rows({"a": toy, "b": with_mlp(toy)}, repeats=2, trace=True), strict=True
    )
    assert [row["name"] for row in rows] == ["a", "b"]
    for row, costs in zip(rows, traces, strict=True):
        assert "error" not in row
        assert row["tokens_per_second"] == pytest.approx(toy.tokens_per_step / (1e-3 * row["ms"]))
        assert row["over_first"] == pytest.approx(row["ms"] / rows[0]["ms"])
        assert row["temporaries"] > 0
        assert any("dot_general" in cost.source for cost in costs)


def test_memory_is_compared_without_running_a_step(toy, monkeypatch):
    monkeypatch.setattr(bench, "init_state", None)  # nothing to run from
    ((row, costs),) = step_rows({"a": toy}, repeats=0, trace=True)
    assert set(row) == {"name", "estimate", "temporaries", "estimate_over_temporaries"}
    assert row["estimate_over_temporaries"] == pytest.approx(row["estimate"] / row["temporaries"])
    assert costs == []
    name, *numbers = table(4).line(row).split()
    assert name == "a"
    assert len(numbers) == 3


def test_one_that_fails_does_not_end_the_table(toy, monkeypatch):
    original = bench.make_train_step

    def fail_first(config, mesh):
        if config is toy:
            raise ValueError("no such\nstep")
        return original(config, mesh)

    monkeypatch.setattr(bench, "make_train_step", fail_first)
    rows = [row for row, _ in step_rows({"a": toy, "b": with_mlp(toy)}, repeats=1)]
    assert rows[0]["error"] == "ValueError: no such step"
    assert rows[1]["over_first"] == 1


def test_a_trace_that_fails_leaves_the_times(toy, monkeypatch):
    monkeypatch.setattr(bench, "costs", lambda *_: 1 / 0)
    ((row, costs),) = step_rows({"a": with_mlp(toy)}, repeats=1, trace=True)
    assert row["trace_error"] == "ZeroDivisionError: division by zero"
    assert row["ms"] > 0
    assert costs == []


@pytest.mark.parametrize("text", ["2x1", "2x1x0", "2x1x-1", "axbxc", "", "1x1x1x1"])
def test_a_mesh_that_is_none_is_refused_in_a_line(text):
    with pytest.raises(UserError, match=f"--meshes '{text}': give DATAxFSDPxTENSOR"):
        parse_mesh(text)


def test_a_mesh_of_more_devices_than_there_are_is_refused():
    n_devices = jax.device_count()
    with pytest.raises(UserError, match=f"has {n_devices + 1} devices; there are {n_devices}"):
        parse_mesh(f"1x{n_devices + 1}x1")


def test_each_config_is_timed_on_each_mesh():
    changes = Changes(implementations=("xla", "dense"), meshes=("1x1x1",))
    configs = named_configs(["storyworld:sgatlin", "storyworld:mlp"], changes)
    names = ["storyworld:sgatlin, xla", "storyworld:sgatlin, dense", "storyworld:mlp"]
    assert list(configs) == [f"{name}, 1x1x1" for name in names]
    assert {config.mesh for config in configs.values()} == {MeshConfig(data=1)}
