# SPDX-License-Identifier: Apache-2.0
"""The paper's ladder on SlimPajama: LAYER-sSCALE, such as `slimpajama:sgatlin-s4`; LAYER is s4.

Each trains for as many steps as `FLOPS` pay for.
"""

from functools import partial

from sgatlin.config import Config, DataConfig, Prepared, TrainConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.scaling.flops import steps_for
from sgatlin.scaling.ladder import PAPER, SCALES
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import StableDecaySchedule
from sgatlin.train.usage import UsageConfig

# Training FLOPs of the layers, without the unembedding: the largest budget of the paper's figure.
FLOPS = 6e18
SEQ_LEN, BATCH_SIZE = 2048, 128
DEFAULT_SCALE = 4.0


def slimpajama(layer: str, scale: float) -> Config:
    model = TransformerConfig(
        vocab_size=50_257,
        d_model=PAPER.d_model(scale),
        n_layers=PAPER.n_layers(scale),
        feed_forward=PAPER.layers(scale)[layer],
    )
    steps = steps_for(FLOPS, model, seq_len=SEQ_LEN, batch_size=BATCH_SIZE)
    return Config(
        name=f"slimpajama-{layer}-s{scale:g}",
        model=model,
        data=DataConfig(
            source=Prepared(path="data/prepared/slimpajama"),
            seq_len=SEQ_LEN,
            batch_size=BATCH_SIZE,
        ),
        optimizer=OptimizerConfig(
            learning_rate=1e-3, schedule=StableDecaySchedule(warmup_steps=1000)
        ),
        train=TrainConfig(steps=steps, accumulate=16, eval_every=500, eval_tokens=2**20),
        checkpoint=CheckpointConfig(every_steps=500),
        usage=UsageConfig(every=500, dead_after=500),
    )


LAYERS = tuple(PAPER.layers(DEFAULT_SCALE))
VARIANTS = {layer: partial(slimpajama, layer, DEFAULT_SCALE) for layer in LAYERS} | {
    f"{layer}-s{scale:g}": partial(slimpajama, layer, scale) for layer in LAYERS for scale in SCALES
}
