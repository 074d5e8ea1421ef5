# SPDX-License-Identifier: Apache-2.0
"""A graph is written in the schema that circuit-tracer and Neuronpedia read."""

import numpy as np
import pydantic

from sgatlin.circuits.attribution import Target, attribute
from sgatlin.circuits.attribution_graph import (
    AttributionGraph,
    GraphSettings,
    Neurons,
    build_graph,
)
from sgatlin.circuits.graph_json import graph_json
from sgatlin.circuits.model import CircuitModel


class Strict(pydantic.BaseModel, strict=True, extra="forbid"):
    """No other types, and no other fields."""


class Metadata(Strict):
    """What both frontends ask for, as circuit-tracer's `graph_models.py` types it."""

    slug: str
    scan: str
    transcoder_list: list[str]
    prompt_tokens: list[str]
    prompt: str
    node_threshold: float
    schema_version: int
    info: dict
    generation_settings: dict
    pruning_settings: dict


class State(Strict):
    pinnedIds: list[str]
    supernodes: list[list[str]]
    linkType: str
    clickedId: str
    sg_pos: str


class Node(Strict):
    node_id: str
    feature: int
    layer: str
    ctx_idx: int
    feature_type: str
    token_prob: float
    is_target_logit: bool
    run_idx: int
    reverse_ctx_idx: int
    jsNodeId: str
    clerp: str
    influence: float | None
    activation: float | None


class Link(Strict):
    source: str
    target: str
    weight: float


class Schema(Strict):
    metadata: Metadata
    qParams: State
    nodes: list[Node]
    links: list[Link]


def by_hand(model: CircuitModel) -> AttributionGraph:
    """Two neurons of channel 1 at position 1: the lower feeds the upper, and that a logit."""
    attribution = attribute(model, [0, 5], [Target(17)])
    one, two = np.array([1, 1]), np.array([0, 1])
    neurons = Neurons(two, one, one, np.array([3, 12]), np.float32([2, 5]), np.float32([-1, 4]))
    return AttributionGraph(
        attribution=attribution,
        neurons=neurons,
        into_neurons=np.float32([[0, 0, 2, 0], [5, 0, 0, 0]]),
        into_logits=np.float32([[0, 1.5, 0, -0.5]]),
        influence=np.float32([0.75, 0.5, 0.9, 1.0]),
        error=1e-7,
        n_considered=8,
        n_neurons=8,
    )


def test_a_graph_is_written_in_the_published_schema(toy_run):
    model = CircuitModel.open(str(toy_run))
    tree = graph_json(model, by_hand(model), GraphSettings(), slug="two")
    Schema.model_validate(tree)
    ids = [node["node_id"] for node in tree["nodes"]]
    assert ids == ["E_0_0", "E_5_1", "0_19_1", "1_28_1", "3_17_1"]
    assert [node["layer"] for node in tree["nodes"]] == ["E", "E", "0", "1", "3"]
    assert [node["influence"] for node in tree["nodes"][2:4]] == [0.75, 0.5]
    assert [node["activation"] for node in tree["nodes"][2:4]] == [-1, 4]
    assert tree["nodes"][2]["clerp"].startswith("0.1.3 raises ")
    assert tree["nodes"][3]["jsNodeId"] == "1_28-0"
    assert tree["nodes"][4]["is_target_logit"]
    assert tree["links"] == [
        {"source": "E_0_0", "target": "0_19_1", "weight": 2},
        {"source": "0_19_1", "target": "1_28_1", "weight": 5},
        {"source": "1_28_1", "target": "3_17_1", "weight": 1.5},
        {"source": "E_5_1", "target": "3_17_1", "weight": -0.5},
    ]
    assert tree["metadata"]["scan"] == "toy@20"
    assert (tree["metadata"]["node_threshold"], tree["metadata"]["schema_version"]) == (0.8, 1)
    assert tree["metadata"]["prompt_tokens"] == ["<|endoftext|>", model.token_text(5)]


def test_a_graph_of_which_no_neuron_is_left(toy_run):
    model = CircuitModel.open(str(toy_run))
    attribution = attribute(model, [0, 5], [Target(17)])
    least = GraphSettings(node_threshold=1e-6, edge_threshold=1e-6)
    graph = build_graph(model, attribution, least)
    assert len(graph.neurons.z) == 0
    tree = graph_json(model, graph, least, slug="none")
    assert [node["feature_type"] for node in tree["nodes"]] == ["embedding", "embedding", "logit"]
