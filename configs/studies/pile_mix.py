# SPDX-License-Identifier: Apache-2.0
"""Every layer at equal FLOPs, at equal time and at several rates, on a mixture of prose and code.

`pile_mix` needs its data: `sgatlin prepare slimpajama --tokenizer None --input FILES --out
data/prepared/pile_mix`. `toy` is the same study at sizes and budgets for a CPU, on the built-in
story world.
"""

import dataclasses
from typing import Any

from sgatlin.config import Config, DataConfig, LogConfig, Prepared, StoryWorld, TrainConfig
from sgatlin.isoflop.budget import FlopBudget, TimeBudget
from sgatlin.isoflop.grid import Grid
from sgatlin.isoflop.study import Study
from sgatlin.nn.feed_forward import FeedForwardConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.scaling.ladder import PAPER, Ladder
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import StableDecaySchedule
from sgatlin.train.usage import UsageConfig

# A run takes less time than it would take to save its model again and again.
RESULT_ONLY = CheckpointConfig(every_steps=10**9, every_minutes=10.0, keep_best=0, at_end=False)

DENSE = ("mlp", "swiglu")
MIXTURES = ("moe", "moe-paper")
PEERS = ("peer", "peer-matched")
SGATLINS = ("sgatlin", "sgatlin-c8", "sgatlin-gelu", "sgatlin-gelu-before")
LAYERS = (*DENSE, *MIXTURES, *PEERS, *SGATLINS)

# sgatlin with one thing as PEER has it or otherwise, and PEER with one as sgatlin has it.
SWITCHED = {
    "sgatlin-gelu-before": "sgatlin",
    "sgatlin-matched": "sgatlin",
    "sgatlin-softmax": "sgatlin",
    "sgatlin-shared": "sgatlin",
    "sgatlin-router": "sgatlin",
    "peer-matched": "peer",
    "peer-identity": "peer",
    "peer-score": "peer",
    "peer-pools": "peer",
    "peer-router": "peer",
}
ABLATIONS = tuple(layer for layer in SWITCHED if layer not in LAYERS)


def layer_of(name: str, scale: float, ladder: Ladder) -> FeedForwardConfig:
    """A layer of the study, by its name."""
    layers = ladder.layers(scale)
    sgatlin, peer = layers["sgatlin"], layers["peer"]
    assert isinstance(sgatlin, SgatlinConfig)
    assert isinstance(peer, PeerConfig)
    # Switched one at a time, PEER has to be spelled with sgatlin's options.
    spelled = peer.as_sgatlin()
    shared = {"shared_pool": True, "n_neurons": peer.n_neurons}
    apart = {"shared_pool": False, "n_neurons": sgatlin.n_neurons}
    variants: dict[str, tuple[FeedForwardConfig, dict[str, Any]]] = {
        "sgatlin-c8": (sgatlin, {"n_channels": sgatlin.n_channels // 2}),
        "sgatlin-gelu": (sgatlin, {"activation": "gelu"}),
        "sgatlin-gelu-before": (sgatlin, {"activation": "gelu", "activation_at": "before_gate"}),
        "sgatlin-matched": (sgatlin, {"init": "matched"}),
        "sgatlin-softmax": (sgatlin, {"gate": "softmax"}),
        "sgatlin-shared": (sgatlin, shared),
        "sgatlin-router": (sgatlin, {"router": "product_key_value"}),
        "peer-identity": (spelled, {"activation": "identity"}),
        "peer-score": (spelled, {"gate": "score"}),
        "peer-pools": (spelled, apart),
        "peer-router": (spelled, {"router": "product_dense"}),
    }
    base, switched = variants.get(name) or (layers[name], {})
    return dataclasses.replace(base, **switched)


def pile_mix() -> Study:
    def config(layer: str, scale: float) -> Config:
        return Config(
            name="pile_mix",
            model=TransformerConfig(
                vocab_size=8192,
                d_model=PAPER.d_model(scale),
                n_layers=PAPER.n_layers(scale),
                feed_forward=layer_of(layer, scale, PAPER),
            ),
            data=DataConfig(
                source=Prepared(path="data/prepared/pile_mix"), seq_len=1024, batch_size=64
            ),
            optimizer=OptimizerConfig(
                learning_rate=1e-3, schedule=StableDecaySchedule(warmup_steps=100)
            ),
            train=TrainConfig(steps=1000, eval_tokens=2**17),
            checkpoint=RESULT_ONLY,
            log=LogConfig(every=20, tensorboard=False),
            usage=UsageConfig(every=100, dead_after=100),
        )

    small, middle, large = (FlopBudget(flops=flops) for flops in (3e14, 1e15, 3e15))
    time = TimeBudget(seconds=10.0, device="NVIDIA H200")
    return Study(
        name="pile_mix",
        title="Ten layers at equal FLOPs, time and memory, on prose and code",
        config=config,
        grids=(
            Grid(budgets=(middle,), layers=LAYERS, scales=(0.5, 1.0, 1.5, 2.0, 2.5, 3.0)),
            Grid(budgets=(small,), layers=(*DENSE, *MIXTURES), scales=(0.5, 1.0, 1.5, 2.0)),
            # At s = 2 all steps of PEER, which costs more, would be warm-up.
            Grid(budgets=(small,), layers=PEERS, scales=(0.5, 1.0, 1.5)),
            Grid(budgets=(small,), layers=SGATLINS, scales=(0.5, 1.0, 1.5, 2.0)),
            Grid(budgets=(small, middle), layers=LAYERS, scales="best", seeds=(0, 1)),
            Grid(budgets=(middle,), layers=ABLATIONS, scales=(2.0,)),
            Grid(
                budgets=(small,),
                layers=LAYERS,
                scales="best",
                learning_rates=(5e-4, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2),
            ),
            Grid(budgets=(large,), layers=LAYERS, scales=(1.0, 1.5, 2.0, 2.5, 3.0)),
            Grid(budgets=(time,), layers=LAYERS, scales=(0.5, 1.0, 1.5, 2.0, 2.5, 3.0)),
        ),
        compared=LAYERS,
        switched=SWITCHED,
    )


def toy() -> Study:
    ladder = Ladder(width=16, depth=1, n_channels=4, side=(2, 2), top_k=2, d_key=8)

    def config(layer: str, scale: float) -> Config:
        return Config(
            name="toy",
            model=TransformerConfig(
                vocab_size=512,
                d_model=ladder.d_model(scale),
                n_layers=ladder.n_layers(scale),
                d_head=8,
                feed_forward=layer_of(layer, scale, ladder),
            ),
            data=DataConfig(
                source=StoryWorld(train_megabytes=0.2, validation_megabytes=0.02),
                seq_len=32,
                batch_size=8,
            ),
            optimizer=OptimizerConfig(
                learning_rate=5e-3, schedule=StableDecaySchedule(warmup_steps=2)
            ),
            train=TrainConfig(steps=100, eval_tokens=2**12),
            checkpoint=RESULT_ONLY,
            log=LogConfig(every=20, tensorboard=False),
        )

    layers, switched = ("swiglu", "peer", "sgatlin"), ("peer-router",)
    small, large = FlopBudget(flops=1e9), FlopBudget(flops=3e9)
    return Study(
        name="toy",
        title="The study in small",
        config=config,
        grids=(
            Grid(budgets=(small, large), layers=layers, scales=(1.0, 2.0, 3.0)),
            Grid(budgets=(small,), layers=layers, scales="best", seeds=(0, 1)),
            Grid(budgets=(large,), layers=switched, scales=(2.0,)),
            Grid(budgets=(small,), layers=layers, scales="best", learning_rates=(1e-2,)),
            Grid(
                budgets=(TimeBudget(seconds=0.2, device="cpu"),), layers=layers, scales=(1.0, 2.0)
            ),
        ),
        compared=layers,
        switched={layer: SWITCHED[layer] for layer in switched},
    )


STUDIES = {"pile_mix": pile_mix, "toy": toy}
