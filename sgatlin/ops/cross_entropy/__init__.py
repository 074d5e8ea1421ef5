# SPDX-License-Identifier: Apache-2.0
"""The loss of a tied unembedding, in chunks of tokens: (T, V) is never held at once."""

from sgatlin.ops.cross_entropy.api import token_nats, weighted_nats

__all__ = ["token_nats", "weighted_nats"]
