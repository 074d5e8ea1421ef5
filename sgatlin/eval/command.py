# SPDX-License-Identifier: Apache-2.0
"""What `sgatlin eval` and `sgatlin generate` do."""

from pathlib import Path

import jax

from sgatlin.errors import UserError
from sgatlin.eval.generate import Sampling, stream_text
from sgatlin.eval.loss import EvalResult, evaluate, make_eval_step
from sgatlin.input.pipeline import eval_batches
from sgatlin.input.store import TokenStore
from sgatlin.train.load import load_run


def evaluate_run(
    spec: str, store: Path | None, *, batch_size: int = 16, max_tokens: int | None = None
) -> EvalResult:
    """Evaluates RUN, RUN@STEP or RUN@best on a store, by default on its own validation store.

    UserError if the store's tokenizer is not the run's.
    """
    loaded = load_run(spec)
    path = Path(loaded.config.data.source.path) / "validation" if store is None else store
    tokens = TokenStore.open(path)
    if tokens.tokenizer_hash != loaded.tokenizer.hash:
        raise UserError(
            f"{path} was made with another tokenizer than {loaded.run.path}: "
            f"prepare it with {loaded.run.tokenizer_file}"
        )
    return evaluate(
        jax.jit(make_eval_step(loaded.config.model)),
        loaded.params,
        eval_batches(
            tokens,
            batch_size=batch_size,
            seq_len=loaded.config.data.seq_len,
            max_tokens=max_tokens,
        ),
        loaded.tokenizer.token_bytes(),
    )


def write_samples(
    spec: str,
    prompt: str,
    *,
    n_samples: int,
    max_tokens: int | None,
    sampling: Sampling,
    seed: int,
) -> None:
    """Prints `n_samples` texts that begin with `prompt`, each as it is written."""
    for name, value in (("samples", n_samples), ("max_tokens", max_tokens)):
        if value is not None and value < 1:
            raise UserError(f"{name}={value} must be at least 1")
    if not 0 <= seed <= 2**32 - n_samples:
        raise UserError(f"seed={seed} must be at least 0 and below 2**32")
    loaded = load_run(spec)
    for sample in range(n_samples):
        if n_samples > 1:
            print(f"--- {sample + 1} of {n_samples}")
        pieces = stream_text(
            loaded.config.model,
            loaded.params,
            loaded.tokenizer,
            prompt,
            context=loaded.config.data.seq_len,
            max_tokens=max_tokens,
            sampling=sampling,
            seed=seed + sample,
        )
        # The first piece is computed before the prompt is printed: a bad prompt prints nothing.
        first = next(pieces, "")
        print(prompt, end=first, flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
