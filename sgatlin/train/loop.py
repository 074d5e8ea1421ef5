# SPDX-License-Identifier: Apache-2.0
"""The training loop: it gets a batch, takes a step, and calls what is due.

Metrics of a step are read after the next one is dispatched, so that the device never waits.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np

from sgatlin.config import Config, StoryWorld
from sgatlin.errors import RunStopped, UserError
from sgatlin.eval.bigram import bigram_perplexity
from sgatlin.eval.loss import EvalResult, evaluate, make_eval_step
from sgatlin.input.evaluation import eval_batches
from sgatlin.input.mixture import TrainingStream
from sgatlin.input.pipeline import train_batches
from sgatlin.input.windows import Batch
from sgatlin.scaling.flops import n_parameters, training_flops
from sgatlin.train import checkpoint
from sgatlin.train.data import run_tokenizer, training_data
from sgatlin.train.report import Reporter, describe
from sgatlin.train.run import RunDirectory
from sgatlin.train.start import start_run
from sgatlin.train.step import Metrics, StepInputs, abstract_inputs, make_train_step
from sgatlin.train.watch import make_watch


class Stopped(Exception):
    """Somebody asked the run to stop, and what it had done is saved."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How one call trains; unlike the config, it may differ each time a run goes on."""

    init_from: str | None = None
    """Run whose parameters a new run starts from: RUN, RUN@STEP or RUN@best."""
    branch_from: str | None = None
    """Run whose stable phase a new run continues, to add its own decay: RUN or RUN@STEP."""
    profile: str | None = None
    """Steps to trace, FIRST:LAST; the trace goes to the run's folder profile."""

    def __post_init__(self) -> None:
        if self.init_from is not None and self.branch_from is not None:
            raise UserError("--init-from and --branch-from exclude each other: choose one")

    def profiled_steps(self, n_steps: int) -> range:
        """Which of a run's steps to trace; UserError if `profile` names none."""
        if self.profile is None:
            return range(0)
        first, colon, last = self.profile.partition(":")
        if not (colon and first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last)):
            raise UserError(f"--profile {self.profile}: give FIRST:LAST, such as 10:13")
        if int(first) > n_steps:
            raise UserError(f"--profile {self.profile}: the run ends at step {n_steps}")
        return range(int(first), int(last) + 1)


class _Pending(NamedTuple):
    """A dispatched step whose metrics have not been read."""

    step: int
    metrics: Metrics
    usage: Metrics
    """Empty but for the steps at which the watch reports."""
    example_ids_B: np.ndarray


class Trainer:
    """One run, from where it stands to its end.

    Building it makes the data, restores or initialises the state, and compiles.
    """

    def __init__(
        self,
        config: Config,
        workdir: Path,
        options: TrainOptions,
        *,
        tell: Callable[[str], None] = print,
    ):
        self.config = config
        self.tell = tell
        self.profiled = options.profiled_steps(config.train.steps)
        self.tracing = False
        self.run = RunDirectory.claim(workdir, config)
        self.data = training_data(config, tell)
        self.stream = TrainingStream(self.data.parts, config.data.seq_len, config.train.seed)
        # First use of both: a run must not find out in its middle that the data is too short.
        self._validation_batches(config.train.eval_tokens)
        self._train_batches(examples=0).close()
        start = start_run(
            config,
            self.run,
            init_from=options.init_from,
            branch_from=options.branch_from,
            tokenizer_hash=self.data.validation.tokenizer_hash,
        )
        self.state, self.position = start.state, start.position
        self.step = int(start.state.step)
        self.best_loss = math.inf
        self.run.create(config)
        self.tokenizer = run_tokenizer(self.run, self.data)
        self.checkpointer = checkpoint.Checkpointer(self.run.checkpoints, config.checkpoint)
        tell(describe(config, self.run, start.told))
        for line in self.stream.described(config.train.steps * config.data.batch_size):
            tell(f"  {line}")
        self.finished = self.step == config.train.steps and self.run.result_file.exists()
        if not self.finished:
            self._compile()

    def _compile(self) -> None:
        batch = abstract_inputs(self.config)
        step = jax.jit(make_train_step(self.config), donate_argnums=0)
        self.train_step = step.lower(self.state, batch).compile()
        eval_step = jax.jit(make_eval_step(self.config.model))
        read = [array for array in batch if array is not None]
        self.eval_step = eval_step.lower(self.state.params, *read).compile()
        self.watch = None
        if self.state.usage is not None:
            watch = jax.jit(make_watch(self.config), donate_argnums=0)
            self.watch = watch.lower(self.state).compile()

    def train(self, stop_requested: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Trains to the end and returns the result; saves and raises `Stopped` if asked to stop."""
        if self.finished:
            self.checkpointer.close()
            return self.run.result()
        self.stop_requested = stop_requested
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.checkpointer)
            self.reporter = Reporter(
                self.config, self.run, first_step=self.step + 1, seconds=self.position.seconds
            )
            stack.callback(self.reporter.close)
            batches = self._train_batches(self.position.examples)
            stack.callback(batches.close)
            stack.callback(self._stop_tracing)
            self._take_steps(batches)
            return self._finish()

    def _take_steps(self, batches: Iterator[Batch]) -> None:
        config, pending = self.config, None
        while self.step < config.train.steps:
            batch = next(batches)
            self._profile_before()
            inputs = jax.device_put(batch.model_inputs())
            self.state, metrics = self.train_step(self.state, StepInputs(*inputs))
            self.step += 1
            self.position = self.position._replace(
                examples=self.position.examples + config.data.batch_size
            )
            self._profile_after()
            last = self.step == config.train.steps
            usage: Metrics = {}
            if self.watch is not None and (last or self.step % config.usage.every == 0):
                self.state, usage = self.watch(self.state)
            if pending is not None:
                self._read(pending)
            pending = _Pending(self.step, metrics, usage, batch.example_ids_B)

            due_save = not last and self.step % config.checkpoint.every_steps == 0
            due_eval = not last and self.step % config.train.eval_every == 0
            if self.stop_requested() or due_save or due_eval or last:
                # No state is saved or judged before its own loss is known to be finite.
                self._read(pending)
                pending = None
            if self.stop_requested():
                self._stop()
            val_loss = None
            if due_eval:
                val_loss = self._validate(config.train.eval_tokens).loss
            if due_save or self._is_best(val_loss):
                self._save(val_loss)

    def _read(self, pending: _Pending) -> None:
        metrics = jax.device_get(pending.metrics)
        if not np.isfinite([metrics["loss"], metrics["grad_norm"]]).all():
            self._give_up(
                pending.step,
                f"loss {metrics['loss']}, gradient norm {metrics['grad_norm']}, on "
                f"{self.stream.named(pending.example_ids_B.tolist())}",
            )
        if pending.usage:
            self.reporter.usage(pending.step, jax.device_get(pending.usage))
        self.reporter.step(pending.step, metrics)

    def _give_up(self, step: int, what: str) -> NoReturn:
        self.checkpointer.wait()
        last = checkpoint.latest(self.run.checkpoints)
        kept = "there is no checkpoint yet"
        if last is not None:
            kept = f"the last good checkpoint is step {last} in {self.run.checkpoints}"
        raise RunStopped(
            f"stopped at step {step}: {what}; {kept}. Lower optimizer.learning-rate or clip-norm"
        )

    def _validate(self, max_tokens: int | None) -> EvalResult:
        with self.reporter.clock.paused():
            result = evaluate(
                self.eval_step,
                self.state.params,
                self._validation_batches(max_tokens),
                self.tokenizer.token_bytes(),
                between=self._stop_if_requested,
            )
        if not math.isfinite(result.loss):
            self._give_up(self.step, f"validation loss {result.loss}")
        self.reporter.validation(self.step, result)
        return result

    def _is_best(self, val_loss: float | None) -> bool:
        return (
            val_loss is not None
            and val_loss < self.best_loss
            and self.config.checkpoint.keep_best > 0
        )

    def _stop_if_requested(self) -> None:
        if self.stop_requested():
            self._stop()

    def _stop(self) -> None:
        self._save(None)
        self.checkpointer.wait()
        raise Stopped(f"saved step {self.step}")

    def _save(self, val_loss: float | None) -> None:
        if val_loss is not None:
            self.best_loss = min(self.best_loss, val_loss)
        position = self.position._replace(seconds=self.reporter.clock.seconds())
        self.checkpointer.save(
            self.step,
            params=self.state.params,
            train=self.state.all_but_params(),
            data=position._asdict(),
            val_loss=val_loss,
        )

    def _finish(self) -> dict[str, Any]:
        """Validates on all held-out tokens, saves, and writes result.json."""
        config = self.config
        self.tell(f"validating on all {self.data.validation.n_tokens - 1:,} held-out tokens")
        validation = self._validate(None)
        self._save(validation.loss)
        self.checkpointer.wait()
        flops = training_flops(config.model, config.data.seq_len)
        tokens = config.train.steps * config.tokens_per_step
        result: dict[str, Any] = {
            "val_loss": validation.loss,
            "val_perplexity": validation.perplexity,
            "val_bits_per_byte": validation.bits_per_byte,
            "tokens": tokens,
            "steps": config.train.steps,
            "parameters": n_parameters(config.model),
            "flops_paper": flops.paper * tokens,
            "flops_full": flops.full * tokens,
            "seconds": round(self.reporter.clock.seconds(), 3),
            "device": jax.devices()[0].device_kind,
        }
        if isinstance(config.data.source, StoryWorld):
            targets = self._validation_batches(None)
            result["bigram_perplexity"] = bigram_perplexity(self.data.parts[0].store, targets)
        self.run.write_result(result)
        return result

    def _train_batches(self, examples: int) -> Any:
        seed = self.config.train.seed
        shape = self._batch_shape()
        return train_batches(self.data.parts, seed=seed, start_example=examples, **shape)

    def _validation_batches(self, max_tokens: int | None) -> Iterator[Batch]:
        return eval_batches(self.data.validation, max_tokens=max_tokens, **self._batch_shape())

    def _batch_shape(self) -> dict[str, Any]:
        names = ("batch_size", "seq_len", "document_boundaries")
        return {name: getattr(self.config.data, name) for name in names}

    def _profile_before(self) -> None:
        if self.step + 1 in self.profiled and not self.tracing:
            jax.block_until_ready(self.state)
            jax.profiler.start_trace(str(self.run.path / "profile"))
            self.tracing = True

    def _profile_after(self) -> None:
        if self.profiled and self.step == self.profiled[-1]:
            self._stop_tracing()

    def _stop_tracing(self) -> None:
        if self.tracing:
            jax.block_until_ready(self.state)
            jax.profiler.stop_trace()
            self.tracing = False
