# SPDX-License-Identifier: Apache-2.0
"""The layers of the comparison side by side, as Markdown: `sgatlin cost --layers`."""

from sgatlin.nn.feed_forward import LayerConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.scaling.flops import count_parameters, gathered_bytes
from sgatlin.scaling.ladder import PAPER, layers

EQUATIONS = {
    "sgatlin": "sum over c, k of s · ⟨w_in, x⟩ · w_out; s raw product-key scores",
    "sgatlin-balanced": "the same, with a balance loss in training",
    "sgatlin-g4": "the same as sgatlin; each run of four neurons shares one score",
    "peer": "sum over c, k of softmax(s) · gelu⟨w_in, x⟩ · w_out; one table",
    "moe": "sum over k of softmax(s) · swiglu expert(x), top 2 of 16",
    "moe-paper": "the same, with a softmax over all 16 before the choice",
    "mlp": "W₂ gelu(W₁ x)",
    "swiglu": "W₂ (g · sigmoid(1.702 g) · (u + 1)) + b₂; g, u = W₁ x + b₁, clipped",
    "topk-mlp": "W₂ keep(relu(W₁ x)); the 8 % largest kept",
    "spark": "W₂ (gelu(soft(W_p x₁)) · W_v x₂); about 8 % fire",
}
"""By variant; initialisations that share an equation are left out."""


def layer_table() -> str:
    """Each variant at three sizes: of one layer the parameters, forward FLOPs and bytes chosen."""
    sizes = {
        "TinyStories (D 256)": (256, layers(256, n_channels=8, n_neurons=1024)),
        **{
            f"s = {s:g} (D {PAPER.d_model(s)})": (PAPER.d_model(s), PAPER.layers(s))
            for s in (4.0, 6.0)
        },
    }
    lines = []
    for title, (d_model, variants) in sizes.items():
        lines += [
            f"**{title}**",
            "",
            "| layer | equation | parameters | active per token | forward FLOPs per token "
            "| bytes chosen per token |",
            "| --- | --- | ---: | ---: | ---: | ---: |",
        ]
        for name, equation in EQUATIONS.items():
            numbers = " | ".join(f"{number:,}" for number in _numbers(variants[name], d_model))
            lines.append(f"| {name} | {equation} | {numbers} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _numbers(layer: LayerConfig, d_model: int) -> tuple[int, ...]:
    model = TransformerConfig(vocab_size=1, d_model=d_model, n_layers=1, feed_forward=layer)
    parameters = count_parameters(model)
    return (
        parameters.layer,
        parameters.active_layer,
        layer.forward_flops(d_model),
        gathered_bytes(model),
    )
