# SPDX-License-Identifier: Apache-2.0
"""The training loop: it gets a batch, takes a step, and calls what is due.

Metrics of a step are read after the next one is dispatched, so that the device never waits.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from sgatlin.config import Config, StoryWorld
from sgatlin.distributed import Vote, any_process, first_then_others, is_first
from sgatlin.errors import RunStopped, UserError
from sgatlin.eval.bigram import bigram_perplexity
from sgatlin.eval.documents import DocumentLosses
from sgatlin.input.mixture import TrainingStream
from sgatlin.input.pipeline import train_batches
from sgatlin.input.windows import Batch
from sgatlin.mesh import Feed, make_mesh
from sgatlin.scaling.flops import n_parameters, training_flops
from sgatlin.train import checkpoint
from sgatlin.train.data import run_tokenizer, training_data
from sgatlin.train.guard import Verdict
from sgatlin.train.layout import layout
from sgatlin.train.lock import RunLock
from sgatlin.train.profiler import Profiler
from sgatlin.train.programs import Programs, compile_programs
from sgatlin.train.report import Reporter, describe
from sgatlin.train.run import RunDirectory
from sgatlin.train.start import start_run
from sgatlin.train.step import Metrics, StepInputs, run_schedule
from sgatlin.train.validation import Validation, Validator

Compile = Callable[[Config, Mesh | None], Programs]


class Stopped(Exception):
    """Somebody asked the run to stop, and what it had done is saved."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How one call trains; unlike the config, it may differ each time a run goes on."""

    init_from: str | None = None
    """Run whose parameters a new run starts from: RUN, RUN@STEP or RUN@best."""
    branch_from: str | None = None
    """Run whose stable phase a new run continues, to add its own decay: RUN or RUN@STEP."""
    strict: bool = False
    """Whether a damaged or unfinished last checkpoint is an error, instead of being skipped."""
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
    examples: int
    """Windows consumed before its batch."""


class Trainer:
    """One run, from where it stands to its end.

    Building it makes the data, restores or initialises the state, and compiles. From then until
    `train` ends no other process may train in its directory.
    """

    def __init__(
        self,
        config: Config,
        workdir: Path,
        options: TrainOptions,
        *,
        tell: Callable[[str], None] = print,
        programs: Compile = compile_programs,
    ):
        self.config = config
        self.tell = tell if is_first() else lambda line: None
        profiled = options.profiled_steps(config.train.steps)
        self.run = RunDirectory(workdir)
        self.profiler = Profiler(self.run.path / "profile", profiled)
        with contextlib.ExitStack() as stack:
            stack.enter_context(RunLock(workdir, tell, leader=is_first()))
            with self.run.disk_errors_told():
                self._begin(options, programs)
            self.lock = stack.pop_all()

    def _begin(self, options: TrainOptions, programs: Compile) -> None:
        """Nothing of the run is written before all that may be wrong has been looked at."""
        config, tell = self.config, self.tell
        RunDirectory.claim(self.run.path, config)
        sizes = config.mesh.sizes(jax.device_count())
        divided = layout(config, sizes)
        self.mesh = None if sizes.devices == 1 else make_mesh(sizes)
        self.feed = Feed(self.mesh, config.data.batch_size, config.train.accumulate)
        self.data = first_then_others(lambda: training_data(config, tell), "data")
        self.stream = TrainingStream(self.data.parts, config.data.seq_len, config.train.seed)
        # First use of both: a run must not find out in its middle that the data is too short.
        eval_feed = Feed(self.mesh, config.data.batch_size)
        self.validator = Validator(self.data.validation, config.data, eval_feed)
        self.validator.batches(config.train.eval_tokens)
        self._train_batches(examples=0).close()
        start = start_run(
            config,
            self.run,
            init_from=options.init_from,
            branch_from=options.branch_from,
            tokenizer_hash=self.data.validation.tokenizer_hash,
            strict=options.strict,
            tell=tell,
            mesh=self.mesh,
        )
        self.state, self.position = start.state, start.position
        self.step = int(start.state.step)
        self.best_loss = math.inf
        if is_first():
            self.run.create(config)
            if start.trunk is not None:
                self.run.take_metrics(start.trunk, self.step)
        self.tokenizer = first_then_others(
            lambda: run_tokenizer(self.run, self.data), "run directory"
        )
        folder, keep = self.run.checkpoints, config.step_before_decay
        self.checkpointer = checkpoint.Checkpointer(folder, config.checkpoint, keep=keep)
        tell(describe(config, self.run, start.told))
        for line in (*divided, *self.stream.described(config.train.steps * config.data.batch_size)):
            tell(f"  {line}")
        at_end = self.step == config.train.steps or not config.checkpoint.at_end
        self.finished = at_end and self.run.result_file.exists()
        if not self.finished:
            self._compile(programs)

    def _compile(self, programs: Compile) -> None:
        if programs is compile_programs:
            self.tell("  compiling the training step")
        self.train_step, self.eval_step, self.watch = programs(self.config, self.mesh)
        # As one array: a rate computed by itself at each step would keep the device waiting.
        steps = jnp.arange(self.config.train.steps)
        self.rates = np.asarray(jax.jit(run_schedule(self.config))(steps), np.float32)

    def train(self, stop_requested: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Trains to the end and returns the result; saves and raises `Stopped` if asked to stop."""
        self.stop_requested = stop_requested
        with self.lock, self.run.disk_errors_told(), contextlib.ExitStack() as stack:
            stack.enter_context(self.checkpointer)
            if self.finished:
                return self.run.result()
            self.reporter = Reporter(
                self.config, self.run, first_step=self.step + 1, seconds=self.position.seconds
            )
            stack.callback(self.reporter.close)
            batches = self._train_batches(self.position.examples)
            stack.callback(batches.close)
            stack.callback(lambda: self.profiler.stop(self.state))
            self.last_save = time.monotonic()
            self.vote = Vote(self.mesh)
            self._take_steps(batches)
            return self._finish()

    def _take_steps(self, batches: Iterator[Batch]) -> None:
        config, pending = self.config, None
        while self.step < config.train.steps:
            batch = next(batches)
            self.profiler.before(self.step + 1, self.state)
            inputs = self.feed.put(*batch.model_inputs())
            rate = self.rates[self.step]
            self.state, metrics = self.train_step(self.state, StepInputs(*inputs), rate)
            self.step += 1
            examples = self.position.examples
            self.position = self.position._replace(examples=examples + config.data.batch_size)
            self.profiler.after(self.step, self.state)
            last = self.step == config.train.steps
            usage: Metrics = {}
            if self.watch is not None and (last or self.step % config.usage.every == 0):
                self.state, usage = self.watch(self.state)
            if pending is not None:
                self._read(pending)
            self.checkpointer.poll()
            pending = _Pending(self.step, metrics, usage, examples)

            stop, timely = self.vote(self.stop_requested(), self._time_to_save())
            every_steps = config.checkpoint.every_steps
            due_save = timely or self.step % every_steps == 0
            due_save = not last and (due_save or self.step == config.step_before_decay)
            due_eval = not last and self.step % config.train.eval_every == 0
            if stop or due_save or due_eval or last:
                # No state is saved or judged before its own loss is known to be finite.
                self._read(pending)
                pending = None
            if stop:
                self._stop()
            val_loss = None
            if due_eval:
                val_loss = self._validate(config.train.eval_tokens).loss
            if due_save or self._is_best(val_loss):
                self._save(val_loss)

    def _read(self, pending: _Pending) -> None:
        metrics = jax.device_get(pending.metrics)
        verdict = Verdict(**{name: metrics.pop(f"guard/{name}").item() for name in Verdict._fields})
        if pending.usage:
            self.reporter.usage(pending.step, jax.device_get(pending.usage))
        if verdict.bad:
            self._bad_step(pending, verdict, metrics)
        else:
            self.reporter.step(pending.step, metrics)

    def _bad_step(self, pending: _Pending, verdict: Verdict, metrics: Any) -> None:
        positions = range(pending.examples, pending.examples + self.config.data.batch_size)
        ids = self.stream.windows_at(positions)
        loss, grad_norm = float(metrics["loss"]), float(metrics["grad_norm"])
        what = f"{verdict.why(loss, grad_norm)}, on {self.stream.named(ids)}"
        guard, mend = self.config.guard, "Lower optimizer.learning-rate or clip-norm"
        if guard.action == "stop":
            mend += ", or let such steps be skipped (--guard.action skip)"
            self._give_up(pending.step, what, mend)
        n_skipped, n_in_a_row = int(verdict.skipped), int(verdict.in_a_row)
        row = {"loss": loss, "grad_norm": grad_norm, "above_mean": verdict.above_mean}
        self.reporter.skipped(pending.step, what, n_skipped, row, self.stream.located(ids))
        if n_in_a_row >= guard.most_in_a_row:
            self._give_up(pending.step, f"{n_in_a_row} steps skipped in a row; {what}", mend)

    def _give_up(self, step: int, what: str, mend: str) -> NoReturn:
        self.checkpointer.wait()
        raise RunStopped(f"stopped at step {step}: {what}; {self.run.last_good()}. {mend}")

    def _validate(
        self, max_tokens: int | None, documents: DocumentLosses | None = None
    ) -> Validation:
        with self.reporter.clock.paused():
            result = self.validator(
                self.eval_step,
                self.state.params,
                self.tokenizer.token_bytes(),
                max_tokens=max_tokens,
                between=self._stop_if_requested,
                documents=documents,
            )
        if not math.isfinite(result.loss):
            mend = "Lower optimizer.learning-rate or clip-norm"
            self._give_up(self.step, f"validation loss {result.loss}", mend)
        self.reporter.validation(self.step, result)
        return result

    def _is_best(self, val_loss: float | None) -> bool:
        return (
            val_loss is not None
            and val_loss < self.best_loss
            and self.config.checkpoint.keep_best > 0
        )

    def _stop_if_requested(self) -> None:
        if any_process(self.stop_requested()):
            self._stop()

    def _stop(self) -> None:
        self._save(None)
        self.checkpointer.wait()
        raise Stopped(f"saved step {self.step}")

    def _time_to_save(self) -> bool:
        minutes, seconds = self.config.checkpoint.every_minutes, time.monotonic() - self.last_save
        return is_first() and minutes is not None and seconds >= 60 * minutes

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
        self.last_save = time.monotonic()

    def _finish(self) -> dict[str, Any]:
        """Validates on all held-out tokens, saves, and writes result.json."""
        config = self.config
        self.tell(f"validating on all {self.data.validation.n_tokens - 1:,} held-out tokens")
        documents = self.validator.documents()
        validation = self._validate(None, documents)
        if config.checkpoint.at_end:
            self._save(validation.loss)
            self.checkpointer.wait()
        flops = training_flops(config.model, config.data.seq_len)
        tokens = config.train.steps * config.tokens_per_step
        result: dict[str, Any] = {
            "val_loss": validation.loss,
            "val_perplexity": validation.held_out.perplexity,
            "val_bits_per_byte": validation.held_out.bits_per_byte,
            **({} if validation.copying is None else validation.copying.metrics()),
            "tokens": tokens,
            "steps": config.train.steps,
            "parameters": n_parameters(config.model),
            "flops_paper": flops.paper * tokens,
            "flops_full": flops.full * tokens,
            "seconds": round(self.reporter.clock.seconds(), 3),
            "device": jax.devices()[0].device_kind,
        }
        if config.guard.action == "skip":
            result["skipped_steps"] = int(self.state.guard.skipped)
        if not is_first():
            return result
        if isinstance(config.data.source, StoryWorld):
            targets = self.validator.batches(None)
            result["bigram_perplexity"] = bigram_perplexity(self.data.parts[0].store, targets)
        self.run.write_result(result, documents)
        return result

    def _train_batches(self, examples: int) -> Any:
        names = ("batch_size", "seq_len", "document_boundaries")
        return train_batches(
            self.data.parts,
            seed=self.config.train.seed,
            start_example=examples,
            rows=self.feed.rows,
            **{name: getattr(self.config.data, name) for name in names},
        )
