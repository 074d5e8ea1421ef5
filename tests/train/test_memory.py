# SPDX-License-Identifier: Apache-2.0
"""The memory estimate: exact for the state, near XLA's plan of the compiled step for the rest."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from sgatlin.config import Config, DataConfig, StoryWorld, TrainConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.ops.platform import traced_for
from sgatlin.scaling.ladder import layers
from sgatlin.train.liveness import temporary_bytes
from sgatlin.train.memory import Memory, training_memory
from sgatlin.train.step import (
    StepInputs,
    abstract_inputs,
    abstract_state,
    init_state,
    make_train_step,
)

# Each kind at the width of the story world's model and at that of a TinyStories one.
STORYWORLD = layers(128, n_channels=4, n_neurons=256)
TINYSTORIES = layers(256, n_channels=8, n_neurons=1024)
KINDS = (
    "sgatlin",
    "sgatlin-balanced",
    "sgatlin-g4",
    "peer",
    "moe",
    "mlp",
    "swiglu",
    "topk-mlp",
    "spark",
)
REMATS = ("none", "dots", "full")
# Of XLA's plan, either way.
TOLERANCE = 0.3


def small(kind="mlp", **changed) -> Config:
    """The story world's model on windows of 128, with fields of model, data or train changed."""
    model = TransformerConfig(
        vocab_size=2048, d_model=128, n_layers=4, feed_forward=STORYWORLD[kind], dtype="float32"
    )
    data = DataConfig(source=StoryWorld(), seq_len=128, batch_size=4)
    return change(
        Config(name="small", model=model, data=data, train=TrainConfig(steps=500)), changed
    )


def large(kind="mlp", **changed) -> Config:
    """A model for TinyStories."""
    model = TransformerConfig(
        vocab_size=8192, d_model=256, n_layers=4, feed_forward=TINYSTORIES[kind], dtype="float32"
    )
    data = DataConfig(source=StoryWorld(), seq_len=512, batch_size=4)
    return change(
        Config(name="large", model=model, data=data, train=TrainConfig(steps=500)), changed
    )


def change(config: Config, changed: dict) -> Config:
    for group in ("model", "data", "train"):
        part = getattr(config, group)
        fields = {name: value for name, value in changed.items() if hasattr(part, name)}
        config = dataclasses.replace(config, **{group: dataclasses.replace(part, **fields)})
    return config


def planned_by_xla(config: Config) -> int:
    """Bytes of temporaries of the compiled step."""
    shape = (config.data.batch_size, config.data.seq_len)
    tokens, weights = (jax.ShapeDtypeStruct(shape, dtype) for dtype in (jnp.int32, jnp.float32))
    step = jax.jit(make_train_step(config), donate_argnums=0)
    lowered = step.lower(abstract_state(config), StepInputs(tokens, tokens, weights))
    return lowered.compile().memory_analysis().temp_size_in_bytes


def n_bytes(tree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def test_the_state_is_exact(toy):
    state = init_state(toy)
    memory = training_memory(toy)
    assert memory.parameters == memory.gradients == n_bytes(state.params)
    assert memory.optimizer == n_bytes(state.optimizer)
    assert memory.parameters + memory.optimizer + memory.counters == n_bytes(state)


def test_document_boundaries_are_a_part_of_the_step(toy):
    """What attends to what is then different for each window, and has to be stored."""
    bounded = change(toy, {"document_boundaries": True})
    assert training_memory(bounded).activations > training_memory(toy).activations
    assert training_memory(bounded).parameters == training_memory(toy).parameters


def test_parts_are_summed_in_gradients_of_their_own(toy):
    parts = change(toy, {"accumulate": 2})
    assert training_memory(parts).gradients == 2 * training_memory(toy).gradients


def test_total_and_temporaries_are_sums():
    memory = Memory(parameters=1, optimizer=20, counters=300, gradients=4000, activations=50000)
    assert memory.temporaries == 54000
    assert memory.total == 54321


@pytest.mark.parametrize("kind", ["sgatlin", "mlp"])
def test_temporaries_are_near_what_xla_plans(kind):
    check_against_xla(small(kind))


def check_against_xla(config: Config) -> None:
    estimated, planned = training_memory(config).temporaries, planned_by_xla(config)
    assert estimated == pytest.approx(planned, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_temporaries_of_every_kind(kind):
    check_against_xla(large(kind))


@pytest.mark.slow
@pytest.mark.parametrize("remat", REMATS[1:])
@pytest.mark.parametrize("kind", ["sgatlin", "mlp", "swiglu"])
def test_temporaries_where_something_is_recomputed(kind, remat):
    check_against_xla(large(kind, remat=remat))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sgatlin", "moe", "swiglu"])
def test_temporaries_in_parts_and_in_bfloat16(kind):
    check_against_xla(small(kind, accumulate=2))
    check_against_xla(small(kind, dtype="bfloat16"))


def test_activations_grow_with_the_batch():
    once, twice = (training_memory(small(batch_size=b)).activations for b in (8, 16))
    assert twice == pytest.approx(2 * once, rel=0.05)


def test_recomputation_saves_activations():
    none, dots, full = (training_memory(small(remat=remat)).activations for remat in REMATS)
    assert full < 0.8 * dots
    assert dots < 0.5 * none


def test_accumulation_halves_activations():
    whole, halves = (
        training_memory(small(batch_size=16, accumulate=n)).activations for n in (1, 2)
    )
    assert halves == pytest.approx(whole / 2, rel=0.1)


def temporaries(function, *shapes) -> int:
    """The estimate of `function`, in floats."""
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return temporary_bytes(jax.make_jaxpr(function)(*arguments).jaxpr) / 4


def test_what_elementwise_operations_pass_on_is_not_stored():
    assert temporaries(lambda x: jnp.sum(jnp.exp(x + 1) * 2), (100,)) == 0
    # A matmul reads memory: its operand is stored, and then its result to be summed.
    assert temporaries(lambda x: jnp.sum(jnp.exp(x) @ x), (10, 10)) == 200


def test_what_is_dead_makes_room():
    def chain(x):
        for _ in range(5):
            x = x @ x
        return x.sum()

    assert temporaries(chain, (10, 10)) == 200


def test_a_loop_is_what_it_stacks_and_one_body():
    def loop(x, weights):
        def layer(x, w):
            return x @ w, jnp.tanh(x)

        x, stacked = jax.lax.scan(layer, x, weights)
        return x.sum() + jnp.sum(stacked @ stacked.mT)

    # The stack, its product, a transposed copy of the stack; not five bodies.
    assert 500 + 100 <= temporaries(loop, (10, 10), (5, 10, 10)) <= 3 * 500 + 2 * 100


def test_a_platform_decides_the_type_and_how_wide_it_is():
    automatic, half, single = (small(dtype=d) for d in ("auto", "bfloat16", "float32"))
    assert training_memory(automatic, "tpu") == training_memory(half, "tpu")
    assert training_memory(automatic, "cpu") == training_memory(single, "cpu")
    assert training_memory(single, "tpu") == training_memory(single, "cpu")
    # What is kept is half as wide, but for the residual stream and the logits.
    activations = [training_memory(half, on).activations for on in ("tpu", "cpu")]
    assert 0.5 < activations[0] / activations[1] < 0.95


def test_a_platform_decides_how_many_logits_there_are_at_once():
    """8,192 tokens of 32,768 ids: on a GPU half of the 2**28 logits, on a CPU 256 tokens'."""
    config = large(vocab_size=2**15, batch_size=16, unroll=1)
    on_gpu, on_cpu = (training_memory(config, name).activations for name in ("gpu", "cpu"))
    # One chunk of logits and its gradient.
    assert 4 * 2**27 < on_gpu - on_cpu < 2 * 4 * 2**27


def test_huge_models_are_only_traced():
    config = large(d_model=1024, n_layers=16, vocab_size=50_000, batch_size=64, seq_len=2048)
    assert training_memory(config).total > 2**36


def test_for_a_gpu_its_kernels_are_counted_on_any_machine():
    config = small("sgatlin", dtype="bfloat16")

    def traced() -> str:
        step = make_train_step(config)
        return str(jax.make_jaxpr(step)(abstract_state(config), abstract_inputs(config)))

    with traced_for("gpu"):
        program = traced()
    for kernel in (
        "neurons.gather_dot",
        "neurons.gather_sum",
        "neurons.scatter_outer",
        "product_topk.search",
        "cross_entropy.nats_and_slopes",
        "attention_gradient",
    ):
        assert kernel in program
    # Nothing of them is left in what is to be run.
    assert "ffi_call" not in traced()
    assert training_memory(config, "gpu").activations > 0
