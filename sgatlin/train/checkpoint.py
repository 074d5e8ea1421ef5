# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: saved in the background, proven by hashes, restored whole or parameters alone.

    checkpoints/500/manifest.json       makes the step good: sizes and hashes of all files
    checkpoints/500/state/params/       arrays of the model
    checkpoints/500/state/train/        arrays of the training state: optimizer, step, random keys
    checkpoints/500/state/data/         position in the data, as JSON

How the arrays are stored is in `arrays`; what becomes of a damaged step, in `fallback`.
"""

import contextlib
import dataclasses
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sgatlin.distributed import firsts, is_first, wait_for_all
from sgatlin.errors import RunStopped, UserError, require_at_least
from sgatlin.train import arrays, manifest
from sgatlin.train.manifest import Manifest

_STATE = "state"
_NAMES = ("params", "train", arrays.JSON)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When to save, and which of the saved steps to keep."""

    every_steps: int = 500
    """Steps from one save to the next."""
    every_minutes: float | None = None
    """Also save when so many minutes have passed since the last save."""
    keep_last: int = 2
    """How many of the latest steps to keep."""
    keep_every: int | None = None
    """Keep every step that is a multiple of this for good; a multiple of every_steps."""
    keep_best: int = 1
    """How many steps of lowest validation loss to keep."""
    before_decay: bool = False
    """Also save the step after which the schedule's decay begins, and keep it for good: runs of
    other lengths can branch off it."""
    at_end: bool = True
    """Save the trained model; without it a finished run has its result and no model."""

    def __post_init__(self) -> None:
        require_at_least(1, every_steps=self.every_steps, keep_last=self.keep_last)
        require_at_least(0, keep_best=self.keep_best)
        if self.every_minutes is not None and not self.every_minutes > 0:
            raise UserError(f"every_minutes={self.every_minutes} must be above 0, or None")
        if self.keep_every is not None and (
            self.keep_every < 1 or self.keep_every % self.every_steps != 0
        ):
            raise UserError(
                f"keep_every={self.keep_every} must be a multiple of "
                f"every_steps={self.every_steps}, or None to keep none for good"
            )


class Checkpointer:
    """Writes the checkpoints of one training run, and cleans up after it.

    Only one run may write to a directory. On entry it removes what a killed run left half written.
    Of a run of several processes each writes its devices' parts, and calls the same methods at the
    same steps; the first does all else. Readers need no Checkpointer: see the functions below.
    """

    def __init__(self, directory: Path, config: CheckpointConfig, *, keep: int | None = None):
        """`keep` is a step that is never removed, beside those that `config` keeps."""
        self.directory = directory
        self.config = config
        self._keep = keep
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: tuple[int, Future[None]] | None = None
        self._leads = is_first()
        if self._leads:
            self._clear()
        wait_for_all("checkpoints")

    def _clear(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for step in saved_steps(self.directory):
                if not (self.directory / str(step) / manifest.FILENAME).exists():
                    _remove(self.directory / str(step))
        except OSError as error:
            raise UserError(f"cannot write checkpoints to {self.directory}: {error}") from error

    def save(
        self,
        step: int,
        *,
        params: Any,
        train: Any,
        data: dict[str, Any],
        val_loss: float | None = None,
        wait: bool = False,
    ) -> None:
        """Saves one step, and returns as soon as its arrays are safe from the caller.

        A save still being written is waited for. A step that is good already is not written again,
        if its files are intact: only its validation loss is recorded, if given.

        Args:
          step: optimizer steps done; the name of the checkpoint.
          params, train: pytrees of jax.Array, typed random keys included, none of size zero. They
            may be donated to the next step at once.
          data: position in the data; plain JSON.
          val_loss: nats per token on the validation set at this step; a step without it, or with
            one that is not finite, cannot be the best.
          wait: return only when the step is good.

        Raises RunStopped, naming the last good step, if this or the last save could not be
        written.
        """
        self.wait()
        trees = {"params": arrays.flatten(params), "train": arrays.flatten(train)}
        data = json.loads(json.dumps(data))
        if val_loss is not None:
            val_loss = float(val_loss) if math.isfinite(val_loss) else None
        with self._failure_named(step):
            if not firsts(self._leads and self._is_intact(step)):
                leaves = {name: manifest.describe(tree) for name, tree in trees.items()}
                unproven = Manifest(step=step, val_loss=val_loss, trees=leaves, files={})
                self._start(unproven, {**trees, "data": data})
            elif val_loss is not None and self._leads:
                self._record_loss(step, val_loss)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Waits until the last save is good; RunStopped if it could not be written."""
        if self._pending is not None:
            step, future = self._pending
            self._pending = None
            with self._failure_named(step):
                future.result()

    def poll(self) -> None:
        """Raises what `wait` would, if it is known already; costs nothing."""
        if self._pending is not None and self._pending[1].done():
            self.wait()

    def close(self) -> None:
        """Waits for the last save and ends the writing thread."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        # An error that is already on its way says more than the failed save that may go with it.
        with contextlib.suppress(RunStopped) if error else contextlib.nullcontext():
            self.close()

    def _start(self, unproven: Manifest, state: dict[str, Any]) -> None:
        folder = self.directory / str(unproven.step)
        if self._leads:
            if folder.exists():
                _remove(folder)
            folder.mkdir()
        wait_for_all(f"step {unproven.step}")
        wait_for_arrays = arrays.write(folder / _STATE, state)
        future = self._writer.submit(self._finish, wait_for_arrays, unproven)
        self._pending = unproven.step, future

    def _finish(self, wait_for_arrays: Callable[[], None], unproven: Manifest) -> None:
        """Runs in the background: the step becomes good, and older ones may go."""
        wait_for_arrays()  # all processes': the last to write commits
        if not self._leads:
            return
        folder = self.directory / str(unproven.step)
        files = manifest.hash_files(folder)
        manifest.write(folder, dataclasses.replace(unproven, files=files))
        self._remove_old()

    def _is_intact(self, step: int) -> bool:
        folder = self.directory / str(step)
        return (folder / manifest.FILENAME).exists() and manifest.fault(folder) is None

    def _record_loss(self, step: int, val_loss: float) -> None:
        folder = self.directory / str(step)
        manifest.write(folder, dataclasses.replace(manifest.read(folder), val_loss=val_loss))
        self._remove_old()

    def _remove_old(self) -> None:
        # A damaged step neither counts, lest a good one goes for it, nor is removed unseen.
        sound = _sound(self.directory)
        steps = list(sound)
        keep = set(steps[-self.config.keep_last :])
        keep.update(_by_loss(sound)[: self.config.keep_best])
        if self.config.keep_every is not None:
            keep.update(step for step in steps if step % self.config.keep_every == 0)
        for step in set(steps) - keep - {self._keep}:
            _remove(self.directory / str(step))

    @contextlib.contextmanager
    def _failure_named(self, step: int) -> Iterator[None]:
        """Turns whatever Orbax or the disk raises into one line, and drops the unfinished step.

        Threads of Orbax may still write to it: what they leave is dropped at the next start.
        """
        try:
            yield
        except Exception as error:
            if self._leads and step not in good_steps(self.directory):
                with contextlib.suppress(OSError):
                    _remove(self.directory / str(step))
            last = latest(self.directory)
            good = "no step is good yet" if last is None else f"the last good step is {last}"
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise RunStopped(
                f"saving step {step} in {self.directory} failed: {reason}; {good}: "
                "mend the disk and start again with the same directory"
            ) from error


def good_steps(directory: Path) -> list[int]:
    """The steps whose saving was finished, in order; none if there is no such directory."""
    return [
        step
        for step in saved_steps(directory)
        if (directory / str(step) / manifest.FILENAME).exists()
    ]


def latest(directory: Path) -> int | None:
    """The last good step, None if there is none."""
    return max(good_steps(directory), default=None)


def best(directory: Path) -> int | None:
    """The good step of lowest recorded validation loss, None if none was recorded."""
    return next(iter(_by_loss(_sound(directory))), None)


def verify(directory: Path, step: int) -> None:
    """Compares all files of a step with their hashes; a UserError names the first that differs."""
    folder = _good_folder(directory, step)
    manifest.verify(folder, manifest.read(folder))


def restore_params(directory: Path, step: int, like: Any) -> Any:
    """Loads the parameters alone, after verifying their files.

    `like` is a pytree of jax.ShapeDtypeStruct (arrays do too), each placed by its sharding if it
    has one, else on the first device. A UserError names the first leaf that the checkpoint holds
    otherwise.
    """
    return _restore(directory, step, {"params": like})["params"]


def restore(
    directory: Path, step: int, *, params_like: Any, train_like: Any, verified: bool = False
) -> tuple[Any, Any, dict[str, Any]]:
    """Loads (params, train, data) of one step, after verifying all its files.

    Targets and errors are as in `restore_params`. Who has just verified the step says so.
    """
    likes = {"params": params_like, "train": train_like, arrays.JSON: None}
    state = _restore(directory, step, likes, verified=verified)
    return state["params"], state["train"], state[arrays.JSON]


def _restore(
    directory: Path, step: int, likes: dict[str, Any], *, verified: bool = False
) -> dict[str, Any]:
    """Loads the parts named by the keys of `likes`; what is like None is taken as it was saved."""
    folder = _good_folder(directory, step)
    known = manifest.read(folder)
    for name, like in likes.items():
        if like is not None:
            wanted = manifest.describe(arrays.flatten(like))
            manifest.check_fit(folder, name, known.trees[name], wanted)
    if not verified:
        unread = tuple(f"{_STATE}/{name}/" for name in _NAMES if name not in likes)
        manifest.verify(folder, known, leaving_out=unread)
    return arrays.read(folder / _STATE, likes)


def _good_folder(directory: Path, step: int) -> Path:
    good = good_steps(directory)
    if step not in good:
        known = f"its good steps are {', '.join(map(str, good))}" if good else "it has none"
        raise UserError(f"{directory} has no finished checkpoint of step {step}: {known}")
    return directory / str(step)


def _remove(folder: Path) -> None:
    # First of all the step stops being good: a kill may fall in between.
    (folder / manifest.FILENAME).unlink(missing_ok=True)
    shutil.rmtree(folder)


def saved_steps(directory: Path) -> list[int]:
    """All steps that have a folder, finished or not, in order."""
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]*", name))


def _sound(directory: Path) -> dict[int, Manifest]:
    """The good steps of which all files are there and of the right size, in order."""
    sound = {}
    for step in good_steps(directory):
        # A damaged manifest, or one that its run has just removed, is no candidate.
        with contextlib.suppress(UserError):
            known = manifest.read(directory / str(step))
            if manifest.fault(directory / str(step), sizes_only=True) is None:
                sound[step] = known
    return sound


def _by_loss(sound: dict[int, Manifest]) -> list[int]:
    """The steps of known validation loss, lowest first."""
    losses = [(known.val_loss, s) for s, known in sound.items() if known.val_loss is not None]
    return [step for _, step in sorted(losses)]
