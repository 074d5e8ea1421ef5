# SPDX-License-Identifier: Apache-2.0
"""What a run is judged by: its loss on held-out tokens, and how well it copies."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from sgatlin.config import DataConfig
from sgatlin.eval.copying import CopyLoss, copy_loss, copying_batch
from sgatlin.eval.documents import DocumentLosses
from sgatlin.eval.loss import EvalResult, EvalStep, evaluate
from sgatlin.input.evaluation import eval_batches
from sgatlin.input.store import TokenStore
from sgatlin.input.windows import Batch
from sgatlin.mesh import Feed


class Validation(NamedTuple):
    """One validation of a model."""

    held_out: EvalResult
    copying: CopyLoss | None
    """None where windows are too short to copy in."""

    @property
    def loss(self) -> float:
        """Nats per held-out token."""
        return self.held_out.loss


class Validator:
    """Validates the model of a run. All batches have the shape of a training batch."""

    def __init__(self, store: TokenStore, data: DataConfig, feed: Feed):
        self._store, self._feed = store, feed
        names = ("batch_size", "seq_len", "document_boundaries")
        self._shape: dict[str, Any] = {name: getattr(data, name) for name in names}
        self._copying = copying_batch(store, **self._shape)

    def batches(self, max_tokens: int | None) -> Iterator[Batch]:
        """Held-out tokens, as `eval_batches` chooses them; UserError if there are none."""
        return eval_batches(self._store, max_tokens=max_tokens, **self._shape)

    def documents(self) -> DocumentLosses:
        """Empty sums of the loss by held-out document."""
        return DocumentLosses(self._store, self._shape["seq_len"])

    def __call__(
        self,
        eval_step: EvalStep,
        params: Any,
        token_bytes_V: np.ndarray,
        *,
        max_tokens: int | None,
        between: Callable[[], None],
        documents: DocumentLosses | None = None,
    ) -> Validation:
        """The loss on `max_tokens` held-out tokens, or all, as `evaluate`; and one batch more."""
        held_out = evaluate(
            eval_step,
            params,
            self.batches(max_tokens),
            token_bytes_V,
            between=between,
            feed=self._feed,
            documents=documents,
        )
        copying = None
        if self._copying is not None:
            copying = copy_loss(eval_step, params, self._copying, feed=self._feed)
        return Validation(held_out, copying)
