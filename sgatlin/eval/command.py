# SPDX-License-Identifier: Apache-2.0
"""What `sgatlin eval` and `sgatlin generate` do."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import jax

from sgatlin.config import Config, Mixture
from sgatlin.errors import UserError, require_at_least
from sgatlin.eval.generate import Sampling, stream_text
from sgatlin.eval.loss import evaluate, make_eval_step
from sgatlin.eval.report import Evaluation, SetResult, summed
from sgatlin.input.evaluation import document_batches, eval_batches
from sgatlin.input.manifest import MANIFEST
from sgatlin.input.store import TokenStore
from sgatlin.input.windows import Batch, check_vocabulary, first_bos
from sgatlin.train.load import LoadedRun, load_run

Form = Literal["windows", "documents"]


def evaluate_run(
    spec: str,
    data: Path | None = None,
    *,
    form: Form = "windows",
    batch_size: int = 16,
    max_tokens: int | None = None,
    max_documents: int | None = None,
) -> Evaluation:
    """Evaluates RUN, RUN@STEP or RUN@best on a store, set by set if it has sets.

    Windows and documents are as long as the run's own, and attention ends where it did in training.

    Args:
      data: a token store, or a prepared data set, whose `validation` is taken; by default the
        validation store of the run.
      form: the store as windows (`eval_batches`), or each document alone (`document_batches`).
      max_tokens: of windows, for each set.
      max_documents: of documents, for each set.

    Raises:
      UserError: when run or data is missing, the data's tokenizer is not the run's, or a limit is
        given that is of the other form.
    """
    if form == "windows" and max_documents is not None:
        raise UserError("max_documents is for the form documents: give max_tokens")
    if form == "documents" and max_tokens is not None:
        raise UserError("max_tokens is for the form windows: give max_documents")
    loaded = load_run(spec)
    store = store_for(loaded, data)
    check_vocabulary(store)
    evaluator = _Evaluator(loaded, form, batch_size, max_tokens, max_documents)
    if not store.sets:
        return Evaluation({}, evaluator(store))
    sets = {name: store.subset(name) for name in store.sets}
    if sum(subset.n_tokens for subset in sets.values()) != store.n_tokens:
        raise UserError(f"{store.path} has shards without a set beside those with one")
    results = {name: evaluator(subset) for name, subset in sets.items()}
    return Evaluation(results, summed(results))


def store_for(loaded: LoadedRun, data: Path | None = None) -> TokenStore:
    """The store at `data`, or the run's validation store; UserError if the tokenizer is another."""
    store = TokenStore.open(_store_folder(loaded.config, data))
    if store.tokenizer_hash != loaded.tokenizer.hash:
        raise UserError(
            f"{store.path} was made with another tokenizer than {loaded.run.path}: "
            f"prepare it with {loaded.run.tokenizer_file}"
        )
    return store


def _store_folder(config: Config, data: Path | None) -> Path:
    if data is None:
        source = config.data.source
        data = Path(source.validation if isinstance(source, Mixture) else source.path)
        return data / "validation"
    is_data_set = not (data / MANIFEST).exists() and (data / "validation").is_dir()
    return data / "validation" if is_data_set else data


class _Evaluator:
    """Evaluates stores with one model, compiled once."""

    def __init__(
        self,
        loaded: LoadedRun,
        form: Form,
        batch_size: int,
        max_tokens: int | None,
        max_documents: int | None,
    ):
        self._params = loaded.params
        self._data = loaded.config.data
        self._form = form
        self._batch_size = batch_size
        self._max_tokens = max_tokens
        self._max_documents = max_documents
        self._eval_step = jax.jit(make_eval_step(loaded.config.model))
        self._token_bytes_V = loaded.tokenizer.token_bytes()

    def __call__(self, store: TokenStore) -> SetResult:
        self._n_documents = 0
        loss = evaluate(self._eval_step, self._params, self._counted(store), self._token_bytes_V)
        return SetResult(loss, self._n_documents)

    def _counted(self, store: TokenStore) -> Iterator[Batch]:
        bos_id = first_bos(store)
        for batch in self._batches(store):
            begins_BT = (batch.inputs_BT == bos_id) & (batch.weights_BT > 0)
            self._n_documents += int(begins_BT.sum())
            yield batch

    def _batches(self, store: TokenStore) -> Iterable[Batch]:
        seq_len = self._data.seq_len
        if self._form == "documents":
            return document_batches(
                store,
                batch_size=self._batch_size,
                seq_len=seq_len,
                max_documents=self._max_documents,
            )
        return eval_batches(
            store,
            batch_size=self._batch_size,
            seq_len=seq_len,
            max_tokens=self._max_tokens,
            document_boundaries=self._data.document_boundaries,
        )


def stream_from_run(
    loaded: LoadedRun,
    prompt: str,
    *,
    max_tokens: int | None = None,
    sampling: Sampling,
    seed: int = 0,
) -> Iterator[str]:
    """`stream_text` by a run's model, in a context as long as it was trained on."""
    return stream_text(
        loaded.config.model,
        loaded.params,
        loaded.tokenizer,
        prompt,
        context=loaded.config.data.seq_len,
        max_tokens=max_tokens,
        sampling=sampling,
        seed=seed,
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
    require_at_least(1, samples=n_samples, max_tokens=max_tokens)
    if not 0 <= seed <= 2**32 - n_samples:
        raise UserError(f"seed={seed} must be at least 0 and below 2**32")
    loaded = load_run(spec)
    for sample in range(n_samples):
        if n_samples > 1:
            print(f"--- {sample + 1} of {n_samples}")
        pieces = stream_from_run(
            loaded, prompt, max_tokens=max_tokens, sampling=sampling, seed=seed + sample
        )
        # The first piece is computed before the prompt is printed: a bad prompt prints nothing.
        first = next(pieces, "")
        print(prompt, end=first, flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
