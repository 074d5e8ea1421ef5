# SPDX-License-Identifier: Apache-2.0
"""An attribution graph as JSON, in the schema that circuit-tracer and Neuronpedia draw.

Names of fields, ids and kinds of nodes are those of circuit-tracer's `graph_models.py` and of
Neuronpedia's `graph-schema.json`, both of schema version 1. What they call a feature is a neuron.
"""

import importlib.metadata
from pathlib import Path
from typing import Any

from sgatlin.circuits.attribution import Attribution, Target, quoted, raised_tokens
from sgatlin.circuits.attribution_graph import AttributionGraph, GraphSettings
from sgatlin.circuits.model import CircuitModel

# The only name for a feature that both frontends draw.
NEURON = "cross layer transcoder"

DESCRIPTION = (
    "Direct effects with gates, attention patterns and norms frozen. A link's weight is what its "
    "source adds to <w_in, x> of a neuron, or to a logit. A neuron's activation is what multiplies "
    "its output weights; feature is channel * n_neurons + neuron."
)
"""What the schema has no fields for; it goes with every graph."""


def graph_json(
    model: CircuitModel, graph: AttributionGraph, settings: GraphSettings, *, slug: str
) -> dict[str, Any]:
    """The graph as a tree of plain values; `slug` is its name where it is shown."""
    attribution = graph.attribution
    tokens = [prompt_token(model, int(token)) for token in attribution.tokens]
    logits = [_logit(model, attribution, i) for i in range(len(attribution.targets))]
    neurons = _neurons(model, graph)
    sources = [*neurons, *_embeddings(attribution, tokens, graph)]
    links = [
        {"source": sources[j]["node_id"], "target": node["node_id"], "weight": float(row[j])}
        for nodes, weights in ((neurons, graph.into_neurons), (logits, graph.into_logits))
        for node, row in zip(nodes, weights, strict=True)
        for j in row.nonzero()[0]
    ]
    metadata = {
        "slug": slug,
        "scan": Path(model.name).name,
        "transcoder_list": [],
        "prompt_tokens": tokens,
        "prompt": model.tokenizer.decode(attribution.tokens),
        "node_threshold": settings.node_threshold,
        "schema_version": 1,
        "info": {
            "description": DESCRIPTION,
            "generator": {"name": "sgatlin", "version": importlib.metadata.version("sgatlin")},
        },
        "generation_settings": {
            "max_n_logits": len(logits),
            "max_feature_nodes": settings.max_neurons,
            "feature_nodes_considered": graph.n_considered,
            "feature_nodes_active": graph.n_neurons,
            "largest_error_of_a_sum": graph.error,
        },
        "pruning_settings": {
            "node_threshold": settings.node_threshold,
            "edge_threshold": settings.edge_threshold,
        },
    }
    state = {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""}
    nodes = [*sources[len(neurons) :], *neurons, *logits]
    return {"metadata": metadata, "qParams": state, "nodes": nodes, "links": links}


def prompt_token(model: CircuitModel, token: int) -> str:
    """A token's text; that of the beginning by its name."""
    from sgatlin.input.tokenizer import END_OF_TEXT

    return END_OF_TEXT if token == model.tokenizer.bos_id else model.token_text(token)


def _neurons(model: CircuitModel, graph: AttributionGraph) -> list[dict[str, Any]]:
    places = graph.neurons
    raised = raised_tokens(
        model, places.layer, places.channel, places.neuron, places.coefficient, n=3
    )
    nodes = []
    for i, (layer, position, channel, neuron, _, coefficient) in enumerate(
        zip(*places, strict=True)
    ):
        feature = int(channel) * model.layer.n_neurons + int(neuron)
        tokens = " ".join(quoted(model.token_text(token)) for token in raised[i])
        nodes.append(
            _node(
                node_id=f"{layer}_{feature}_{position}",
                feature=feature,
                layer=str(layer),
                ctx_idx=int(position),
                feature_type=NEURON,
                jsNodeId=f"{layer}_{feature}-0",
                clerp=f"{layer}.{channel}.{neuron} raises {tokens}",
                influence=float(graph.influence[i]),
                activation=float(coefficient),
            )
        )
    return nodes


def _embeddings(
    attribution: Attribution, tokens: list[str], graph: AttributionGraph
) -> list[dict[str, Any]]:
    shares = graph.influence[len(graph.neurons.layer) :]
    return [
        _node(
            node_id=f"E_{token}_{position}",
            feature=position,
            layer="E",
            ctx_idx=position,
            feature_type="embedding",
            jsNodeId=f"E_{token}-{position}",
            clerp=f"embedding of {quoted(tokens[position])}",
            influence=float(share),
            activation=None,
        )
        for position, (token, share) in enumerate(zip(attribution.tokens, shares, strict=True))
    ]


def _logit(model: CircuitModel, attribution: Attribution, i: int) -> dict[str, Any]:
    target: Target = attribution.targets[i]
    position = len(attribution.tokens) - 1
    probability = float(attribution.probabilities[i])
    layer = model.n_layers + 1
    return _node(
        node_id=f"{layer}_{target.token}_{position}",
        feature=target.token,
        layer=str(layer),
        ctx_idx=position,
        feature_type="logit",
        jsNodeId=f"L_{target.token}-{position}",
        clerp=f"Output {target.text(model)} (p={probability:.3f})",
        token_prob=probability,
        is_target_logit=i == 0,
        influence=None,
        activation=None,
    )


def _node(**fields: Any) -> dict[str, Any]:
    """With the fields that only logits have, and those that only a drawn state has."""
    common = {"token_prob": 0.0, "is_target_logit": False, "run_idx": 0, "reverse_ctx_idx": 0}
    return common | fields
