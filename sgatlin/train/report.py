# SPDX-License-Identifier: Apache-2.0
"""How fast a run goes, told on the terminal and to its trackers."""

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import jax

from sgatlin.config import Config
from sgatlin.distributed import is_first
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.scaling.flops import n_parameters, peak_flops, training_flops
from sgatlin.train.metrics import JsonLines, ProgressLine, duration, make_trackers
from sgatlin.train.run import RunDirectory
from sgatlin.train.validation import Validation


class Clock:
    """Seconds of a run, and tokens per second since the last time somebody asked."""

    def __init__(self, seconds_before: float):
        self._before = seconds_before
        self._start = self._mark = time.monotonic()
        self._tokens = 0

    def count(self, tokens: int) -> None:
        self._tokens += tokens

    def rate(self) -> float:
        """Tokens per second since the last call."""
        now = time.monotonic()
        rate = self._tokens / max(now - self._mark, 1e-9)
        self._mark, self._tokens = now, 0
        return rate

    def seconds(self) -> float:
        return self._before + time.monotonic() - self._start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside counts as time of the run, but not in the rate."""
        since = time.monotonic()
        yield
        self._mark += time.monotonic() - since


class Reporter:
    """Takes a run's metrics and passes on what is due."""

    def __init__(self, config: Config, run: RunDirectory, *, first_step: int, seconds: float):
        self.clock = Clock(seconds)
        self._config = config
        self._progress = ProgressLine()
        # Of several processes the first tells and writes.
        self._silent = not is_first()
        self._trackers = []
        if not self._silent:
            # Killed between its last save and its result, a run is only validated again.
            at_end = first_step > config.train.steps
            self._trackers = make_trackers(config.log, run.path, first_step, validates_again=at_end)
        self._skipped: JsonLines | None = None
        if not self._silent and config.guard.action == "skip":
            self._skipped = JsonLines(run.skipped_file, first_step)
        self._device = jax.devices()[0].device_kind
        self._flops = training_flops(config.model, config.data.seq_len).full
        self._validated = ""
        self._dead = 0

    def step(self, step: int, metrics: dict[str, Any]) -> None:
        """Metrics of one optimizer step, read from the device."""
        config, total = self._config, self._config.train.steps
        self.clock.count(config.tokens_per_step)
        if self._silent or (step % config.log.every and step not in (1, total)):
            return
        rate = self.clock.rate()
        speed = {"tokens": step * config.tokens_per_step, "tokens_per_second": rate}
        peak, share = peak_flops(self._device), ""
        if peak is not None:
            speed["share_of_peak"] = self._flops * rate / peak
            share = f"  {100 * speed['share_of_peak']:.1f} % of peak"
        self._log(step, metrics | speed)
        dead = f"  {self._dead:,} dead" if self._dead else ""
        left = duration((total - step) * config.tokens_per_step / rate)
        self._progress.show(
            f"step {step:{len(str(total))}}/{total}  loss {float(metrics['loss']):.3f}"
            f"{self._validated}"
            f"{dead}  {rate / 1000:.1f} k tokens/s{share}  {left} left",
            last=step == total,
        )

    def skipped(
        self,
        step: int,
        what: str,
        n_skipped: int,
        row: dict[str, float],
        windows: dict[str, list[int]],
    ) -> None:
        """A step that changed nothing: told at once, and noted in skipped.jsonl with its batch."""
        self.clock.count(self._config.tokens_per_step)
        if self._skipped is None:
            return
        numbers = {name: value if math.isfinite(value) else None for name, value in row.items()}
        self._skipped.log(step, numbers | {"windows": windows})
        self._log(step, {"skipped_steps": n_skipped})
        self._progress.end()
        self._progress.show(f"step {step} skipped, {n_skipped} in all: {what}", last=True)

    def usage(self, step: int, metrics: dict[str, Any]) -> None:
        """What the watch reported at one step, read from the device."""
        self._dead = int(metrics["usage/dead"].sum())
        self._log(step, metrics)

    def validation(self, step: int, result: Validation) -> None:
        """The validation after a step."""
        held_out, copying = result
        # With its step: until the next one it is shown beside newer losses.
        self._validated = f"  val {held_out.loss:.3f} at {step}"
        metrics = {
            "val_loss": held_out.loss,
            "val_perplexity": held_out.perplexity,
            "val_bits_per_byte": held_out.bits_per_byte,
        }
        if copying is not None:
            metrics["val_copy_score"] = copying.score
        self._log(step, metrics)

    def close(self) -> None:
        self._progress.end()
        for tracker in (*self._trackers, self._skipped):
            if tracker is not None:
                tracker.close()

    def _log(self, step: int, metrics: dict[str, Any]) -> None:
        for tracker in self._trackers:
            tracker.log(step, metrics)


def describe(config: Config, run: RunDirectory, told: str) -> str:
    """A run's first lines."""
    model, steps = config.model, config.train.steps
    neurons = ""
    if isinstance(model.gated_layer, SgatlinConfig | PeerConfig):
        line = model.gated_layer.computed_by(model.d_model, model.compute_dtype)
        neurons = f"\n  {line}"
    return (
        f"{run.path}: {model.kinds}, {n_parameters(model):,} parameters, "
        f"{steps:,} steps of {config.tokens_per_step:,} tokens, {model.compute_dtype} on "
        f"{jax.devices()[0].device_kind}; {told}{neurons}"
    )
