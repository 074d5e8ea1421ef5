# SPDX-License-Identifier: Apache-2.0
"""Loss and gradient of a chunk of logits as a Triton kernel: they are read from memory once.

t tokens of a chunk, V columns of the logits, of which the first n_ids are ids.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def nats_and_slopes(
    logits_tV,
    targets_t,
    weights_t,
    n_ids,
    nats_t,
    slopes_tV,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """nats[t] = -log softmax(logits[t])[target], slopes[t] = weight * (softmax - one-hot).

    A program has a token. Of a row of one block the logits stay in registers; one of several is
    read twice.
    """
    t = tl.program_id(0).to(tl.int64)
    target = tl.load(targets_t + t)
    weight = tl.load(weights_t + t)
    v = tl.arange(0, BLOCK)
    x = tl.load(logits_tV + t * V + v, mask=v < n_ids, other=-float("inf")).to(tl.float32)
    # Finite, so that the difference to what is masked is no NaN.
    largest = tl.maximum(tl.max(x, axis=0), -3.4028234663852886e38)
    total = tl.sum(tl.exp(x - largest), axis=0)
    for start in range(BLOCK, V, BLOCK):
        mask = start + v < n_ids
        x = tl.load(logits_tV + t * V + start + v, mask=mask, other=-float("inf")).to(tl.float32)
        above = tl.maximum(largest, tl.max(x, axis=0))
        total = total * tl.exp(largest - above) + tl.sum(tl.exp(x - above), axis=0)
        largest = above
    known = (target >= 0) & (target < n_ids)
    chosen = tl.load(logits_tV + t * V + target, mask=known, other=float("nan")).to(tl.float32)
    tl.store(nats_t + t, tl.log(total) + (largest - chosen))
    for start in range(0, V, BLOCK):
        if V > BLOCK:
            mask = start + v < n_ids
            x = tl.load(logits_tV + t * V + start + v, mask=mask, other=-float("inf"))
            x = x.to(tl.float32)
        slopes = weight * (tl.exp(x - largest) / total - tl.where(start + v == target, 1.0, 0.0))
        tl.store(slopes_tV + t * V + start + v, slopes, mask=start + v < V)
