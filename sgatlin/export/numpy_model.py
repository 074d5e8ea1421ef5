# SPDX-License-Identifier: Apache-2.0
"""The model in plain numpy, of what `sgatlin export` wrote: a specification that runs.

    model = load("runs/story/export")
    logits_TV = logits(model, [0, 17, 5])  # of the token after each of these

It needs numpy and safetensors, imports nothing else of this package, and may be copied. One
sequence at a time, no cache, no batch: it is written to be read.

T tokens, D model, V vocabulary, H heads, A their width, F hidden width, C channels, K chosen, G
neurons of a group, Q width of a key, M keys of each part (2 parts in a product router, else 1), R
rows of an expert.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors

FORMAT = "sgatlin-2"
READABLE = ("sgatlin-1", FORMAT)
"""The first has no layers with groups of neurons or a projection, and no pattern of layers."""
NORM_EPSILON = 1e-6
ROPE_BASE = 10_000.0
SWIGLU_LIMIT, SWIGLU_SLOPE = 7.0, 1.702

Params = Mapping[str, np.ndarray]
Config = Mapping[str, Any]


class Model(NamedTuple):
    """What `load` returns."""

    config: dict[str, Any]
    """`model` of config.json."""
    params: dict[str, np.ndarray]


def load(folder: str | Path, dtype: type[np.floating] = np.float32) -> Model:
    """Reads an export; everything will be computed in `dtype`, float32 or float64.

    ValueError where the folder's files are no such export, OSError where one is missing.
    """
    folder = Path(folder)
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if content.get("format") not in READABLE:
        raise ValueError(f"{folder / 'config.json'} is not of the format {FORMAT}: export it again")
    files, index = ["model.safetensors"], folder / "model.safetensors.index.json"
    if index.exists():
        files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    params = {}
    for name in files:
        if Path(name).name != name:
            raise ValueError(f"{index} names {name!r}, which is outside its folder: export again")
        for key, tensor in safetensors.deserialize((folder / name).read_bytes()):
            params[key] = _array(tensor).astype(dtype)
    return Model(content["model"], params)


def _array(tensor: Mapping[str, Any]) -> np.ndarray:
    if tensor["dtype"] == "BF16":  # the upper half of a float32; numpy has no type for it
        flat = (np.frombuffer(tensor["data"], "<u2").astype("<u4") << 16).view("<f4")
    else:
        flat = np.frombuffer(tensor["data"], {"F32": "<f4", "F16": "<f2"}[tensor["dtype"]])
    return flat.reshape(tensor["shape"])


def logits(model: Model, tokens: Sequence[int] | np.ndarray) -> np.ndarray:
    """(T, V): the softmax of row t is the distribution of the token after tokens[0..t].

    Text begins with the token `bos_id` of config.json. ValueError for ids that are none.
    """
    config, params = model
    embedding_VD, tokens_T = params["embedding"], np.asarray(tokens, np.int64)
    if tokens_T.ndim != 1 or not ((tokens_T >= 0) & (tokens_T < len(embedding_VD))).all():
        raise ValueError(f"tokens must be a sequence of ids from 0 to {len(embedding_VD) - 1}")
    # Blocks have one kind of layer, or those of a pattern in turn.
    kinds = config["feed_forward"].get("layers", [config["feed_forward"]])
    x_TD = embedding_VD[tokens_T]
    for layer in range(config["n_layers"]):
        block = _within(params, f"blocks.{layer}.")
        normed_TD = rms_norm(x_TD, block["attention_norm.scale"])
        x_TD = x_TD + attention(normed_TD, _within(block, "attention."), config["d_head"])
        normed_TD = rms_norm(x_TD, block["feed_forward_norm.scale"])
        own, kind = _within(block, "feed_forward."), kinds[layer % len(kinds)]
        x_TD = x_TD + FEED_FORWARD[kind["kind"]](normed_TD, own, kind)
    return rms_norm(x_TD, params["norm.scale"]) @ embedding_VD.T


def _within(params: Params, prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): x for k, x in params.items() if k.startswith(prefix)}


def rms_norm(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + NORM_EPSILON) * scale


def attention(x_TD: np.ndarray, params: Params, d_head: int) -> np.ndarray:
    """Each position attends to itself and those before it."""
    query_THA, key_THA, value_THA = (
        (x_TD @ params[name]).reshape(len(x_TD), -1, d_head)
        for name in ("w_query", "w_key", "w_value")
    )
    query_THA = rope(rms_norm(query_THA, params["query_norm.scale"]))
    key_THA = rope(rms_norm(key_THA, params["key_norm.scale"]))
    scores_HTS = np.einsum("tha,sha->hts", query_THA, key_THA) / math.sqrt(d_head)
    visible_TS = np.tri(len(x_TD), dtype=bool)
    weights_HTS = softmax(np.where(visible_TS, scores_HTS, -np.inf))
    return np.einsum("hts,sha->tha", weights_HTS, value_THA).reshape(x_TD.shape) @ params["w_out"]


def rope(x_THA: np.ndarray) -> np.ndarray:
    """Rotates entries i and A/2 + i of position t's heads by the angle t * ROPE_BASE^(-2i / A)."""
    half = x_THA.shape[-1] // 2
    angles_T1a = np.outer(np.arange(len(x_THA)), ROPE_BASE ** (-np.arange(half) / half))[:, None]
    cos, sin = (f(angles_T1a).astype(x_THA.dtype) for f in (np.cos, np.sin))
    first, second = x_THA[..., :half], x_THA[..., half:]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def sgatlin(x_TD: np.ndarray, params: Params, config: Config) -> np.ndarray:
    """Sum over channels and their chosen neurons of gate * <w_in, x> * w_out.

    With a projection the neurons read x @ projection; the router always reads x.
    """
    indices_TCK, gates_TCK = route(x_TD, params, config)
    read_TI = x_TD @ params["projection"] if "projection" in params else x_TD
    act, y_TD = ACTIVATIONS[config["activation"]], np.zeros_like(x_TD)
    for channel in range(config["n_channels"]):
        table = 0 if config["shared_pool"] else channel
        rows_TK, gates_TK = indices_TCK[:, channel], gates_TCK[:, channel]
        z_TK = np.einsum("ti,tki->tk", read_TI, params["w_in"][table][rows_TK])
        after = config["activation_at"] == "after_gate"
        a_TK = act(z_TK * gates_TK) if after else act(z_TK) * gates_TK
        y_TD += np.einsum("tk,tkd->td", a_TK, params["w_out"][table][rows_TK])
    return y_TD


def route(x_TD: np.ndarray, params: Params, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """(T, C, K): the neurons of the best groups of each channel, and the gate of each.

    Group g is of the neurons g * G to g * G + G - 1. A product router's group i * M + j has key i
    of the first part and j of the second.
    """
    scores, group = key_scores(x_TD, params, config), config.get("group", 1)
    n_tokens, k = len(x_TD), config["top_k"] // group
    best_TpCK = largest(scores, k)
    terms_TpCK = np.take_along_axis(scores, best_TpCK, axis=-1)
    indices_TCK, scores_TCK = best_TpCK[:, 0], terms_TpCK[:, 0]
    if config["router"].startswith("product"):
        # The best sums are of the best terms, so K * K of the M * M pairs are enough.
        pairs = indices_TCK[..., :, None] * scores.shape[-1] + best_TpCK[:, 1, :, None, :]
        sums = scores_TCK[..., :, None] + terms_TpCK[:, 1, :, None, :]
        pairs, sums = (array.reshape(n_tokens, -1, k * k) for array in (pairs, sums))
        chosen_TCK = largest(sums, k)
        indices_TCK, scores_TCK = (np.take_along_axis(a, chosen_TCK, -1) for a in (pairs, sums))
    gates_TCK = softmax(scores_TCK) if config["gate"] == "softmax" else scores_TCK
    neurons = indices_TCK[..., None] * group + np.arange(group)
    return neurons.reshape(*indices_TCK.shape[:2], -1), np.repeat(gates_TCK, group, axis=-1)


def key_scores(x_TD: np.ndarray, params: Params, config: Config) -> np.ndarray:
    """(T, parts, C, M): the score of every key."""
    query, key = params["router.query"], params["router.key"]
    n_parts = 2 if config["router"].startswith("product") else 1
    per_channel = config["router"].endswith("key_value")  # then a query for each part and channel
    query_Q = np.einsum("td,pcdq->tpcq", x_TD, query) if per_channel else x_TD @ query
    if config["query_norm"]:
        query_Q = rms_norm(query_Q, params["router.query_scale"])
    if per_channel:
        scores = np.einsum("tpcq,pcmq->tpcm", query_Q, key)
        return scores / math.sqrt(n_parts * config["d_key"])
    return (query_Q @ key).reshape(len(x_TD), n_parts, config["n_channels"], -1)


def peer(x_TD: np.ndarray, params: Params, config: Config) -> np.ndarray:
    """`sgatlin` with PEER's options."""
    routing = {"router": "product_key_value", "gate": "softmax"}
    activation = {"activation": "gelu", "activation_at": "before_gate"}
    return sgatlin(x_TD, params, {**config, **routing, **activation})


def moe(x_TD: np.ndarray, params: Params, config: Config) -> np.ndarray:
    """Sum over a token's experts of gate * swiglu expert, and over the shared ones of theirs."""
    logits_TE = x_TD @ params["router"] + params.get("router_bias", 0)
    affinities = {"paper": softmax, "sigmoid_bias": sigmoid, "topk_softmax": lambda x: x}
    affinity_TE = affinities[config["routing"]](logits_TE)
    chosen_TK = largest(affinity_TE + params.get("balance", 0), config["top_k"])
    gates_TK = np.take_along_axis(affinity_TE, chosen_TK, axis=-1)
    if config["routing"] == "topk_softmax":
        gates_TK = softmax(gates_TK)
    if config["routing"] == "sigmoid_bias":
        gates_TK /= gates_TK.sum(axis=-1, keepdims=True)
    y_TD = np.zeros_like(x_TD)
    for expert in range(config["n_experts"]):
        token_R, choice_R = np.nonzero(chosen_TK == expert)  # a token chooses an expert once
        own = gates_TK[token_R, choice_R, None] * _expert(x_TD[token_R], params, "", expert)
        y_TD[token_R] += own
    for expert in range(config["n_shared_experts"]):
        y_TD += _expert(x_TD, params, "shared_", expert)
    return y_TD


def _expert(x_RD: np.ndarray, params: Params, prefix: str, expert: int) -> np.ndarray:
    names = ("w_in", "b_in", "w_out", "b_out")
    w_in, b_in, w_out, b_out = (params[prefix + name][expert] for name in names)
    return gated(*np.split(x_RD @ w_in + b_in, 2, axis=-1)) @ w_out + b_out


def swiglu(x_TD: np.ndarray, params: Params, config: Config) -> np.ndarray:
    gate_TF = x_TD @ params["w_gate"] + params["b_gate"]
    up_TF = x_TD @ params["w_up"] + params["b_up"]
    return gated(gate_TF, up_TF) @ params["w_out"] + params["b_out"]


def gated(gate_TF: np.ndarray, up_TF: np.ndarray) -> np.ndarray:
    """gpt-oss's clipped SwiGLU."""
    gate_TF = np.minimum(gate_TF, SWIGLU_LIMIT)
    up_TF = np.clip(up_TF, -SWIGLU_LIMIT, SWIGLU_LIMIT)
    return gate_TF * sigmoid(SWIGLU_SLOPE * gate_TF) * (up_TF + 1)


def mlp(x_TD: np.ndarray, params: Params, config: Config) -> np.ndarray:
    return gelu(x_TD @ params["w_in"]) @ params["w_out"]


def topk_mlp(x_TD: np.ndarray, params: Params, config: Config) -> np.ndarray:
    """Of a token's activations those at least as large as its K-th largest are kept."""
    a_TF = ACTIVATIONS[config["activation"]](x_TD @ params["w_in"])
    smallest_T1 = np.sort(a_TF, axis=-1)[:, -config["top_k"], None]
    return np.where(a_TF >= smallest_T1, a_TF, 0) @ params["w_out"]


def spark(x_TD: np.ndarray, params: Params, config: Config) -> np.ndarray:
    """Of the first half of x it is told which units of the second half's hidden layer fire."""
    half, n_hidden = params["w_predict"].shape
    p_TF = x_TD[:, :half] @ params["w_predict"]
    mean_T1, variance_T1 = (f(p_TF, axis=-1, keepdims=True) for f in (np.mean, np.var))
    quantile = statistics.NormalDist().inv_cdf(1 - config["n_active"] / n_hidden)
    excess_TF = np.maximum(p_TF - (mean_T1 + quantile * np.sqrt(variance_T1 + 1e-12)), 0)
    return (gelu(excess_TF) * (x_TD[:, half:] @ params["w_value"])) @ params["w_out"]


FEED_FORWARD: dict[str, Callable[[np.ndarray, Params, Config], np.ndarray]] = {
    "sgatlin": sgatlin,
    "peer": peer,
    "moe": moe,
    "mlp": mlp,
    "swiglu": swiglu,
    "topk_mlp": topk_mlp,
    "spark": spark,
}


def largest(x: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest entries of the last axis, descending; of equal ones the first."""
    return np.argsort(-x, axis=-1, kind="stable")[..., :k]


def softmax(x: np.ndarray) -> np.ndarray:
    exp = np.exp(x - x.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": gelu,
    "swish": lambda x: x * sigmoid(x),
}
