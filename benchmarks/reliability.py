# SPDX-License-Identifier: Apache-2.0
"""Kills a training run over and over, damages its checkpoints, and writes what became of it.

python -m benchmarks.reliability --kills 200 --flips 50 --out docs/reliability.md

A run of the story world is trained undisturbed, then again and again with kill -9 at random times.
Whatever is found wrong ends the command with exit code 1. Called again, it goes on where it was.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import tyro

from benchmarks import soak
from benchmarks.reliability_page import Damage, page
from benchmarks.soak import last_good, require, require_same_end
from sgatlin.cli import run_command
from sgatlin.config import StoryWorld
from sgatlin.errors import UserError, require_at_least
from sgatlin.input.storyworld.prepare import prepare_storyworld
from sgatlin.train import checkpoint
from sgatlin.train.run import RunDirectory
from sgatlin.train.start import Start, start_run

# Every so many-th life has no cache of compiled programs, so that kills fall into compilation too.
COLD_EVERY = 4
# Every so many-th damaged run is trained to its end.
TRAINED_EVERY = 10

_BEGAN = re.compile(r"; (?:goes on from|starts at) step (\d+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    kills: int = 200
    """How many processes to kill."""
    flips: int = 50
    """How many checkpoints to damage: a bit flipped, or a file cut."""
    seed: int = 0
    """Of the times of kills, and of what is damaged."""
    runs: Path = Path("runs/reliability")
    """Folder of the runs, their data, and kills.jsonl, from which a second call goes on."""
    out: Path | None = None
    """Markdown file to write; it is printed otherwise."""

    def __post_init__(self) -> None:
        require_at_least(0, kills=self.kills, flips=self.flips)


class Life(NamedTuple):
    """One process that trained for a while."""

    run: int
    """Which run: each is trained to its end before another begins."""
    seconds: float
    """From its start to its end."""
    phase: str
    """Where it was killed; "end" if it came to its end first."""
    found: int | None
    """Step of the last good checkpoint when it began."""
    told: int | None
    """Step at which it said that it began; None if it did not live to say so."""


def main(arguments: Arguments) -> None:
    jax.config.update("jax_platforms", "cpu")
    reliability = Reliability(arguments)
    reliability.train_undisturbed()
    reliability.kill()
    damages = [reliability.damage(number) for number in range(arguments.flips)]
    lives = [life._asdict() for life in reliability.lives]
    text = "\n".join(page(lives, damages, reliability.times, arguments.seed))
    if arguments.out is None:
        print(text)
    else:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n", encoding="utf-8")


class Reliability:
    """The runs of one folder, and what has been done to them."""

    def __init__(self, arguments: Arguments):
        self.arguments = arguments
        self.folder = arguments.runs
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reference = RunDirectory(self.folder / "undisturbed")
        self.log = self.folder / "kills.jsonl"
        self.lives: list[Life] = []
        if self.log.exists():
            lines = self.log.read_text(encoding="utf-8").splitlines()
            self.lives = [Life(**json.loads(line)) for line in lines]
        self.times: dict[str, float] = {}

    def train_undisturbed(self) -> None:
        """Trains the run without, then with compiled programs at hand, and times both."""
        file = self.folder / "times.json"
        if not file.exists():
            self._prepare()
            shutil.rmtree(self.folder / "cache", ignore_errors=True)
            runs = {"cold": RunDirectory(self.folder / "cold"), "warm": self.reference}
            for name, run in runs.items():
                shutil.rmtree(run.path, ignore_errors=True)
                start = time.monotonic()
                with self._process(run) as process:
                    while process.poll() is None and not run.metrics_file.exists():
                        time.sleep(0.01)
                    self.times[f"{name} start-up"] = time.monotonic() - start
                require(process.returncode == 0, f"the undisturbed run failed: {self._said()}")
                self.times[f"{name} run"] = time.monotonic() - start
                print(f"undisturbed, {name}: {self.times[f'{name} run']:.1f} s", flush=True)
            require_same_end(*runs.values())
            file.write_text(json.dumps(self.times), encoding="utf-8")
        self.times = json.loads(file.read_text(encoding="utf-8"))

    def kill(self) -> None:
        """Kills run after run until there are kills enough; the last one comes to its end."""
        while True:
            number = max((life.run for life in self.lives), default=0)
            run = RunDirectory(self.folder / f"run-{number}")
            if run.result_file.exists():
                require_same_end(run, self.reference)
                if self._n_kills() >= self.arguments.kills:
                    return
                number += 1
                run = RunDirectory(self.folder / f"run-{number}")
                print(f"run {number} begins: the last ended as the undisturbed one", flush=True)
            self.lives.append(self._live(run, number))
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.lives[-1]._asdict()) + "\n")
            print(self._progress(), flush=True)

    def _n_kills(self) -> int:
        return sum(life.phase != "end" for life in self.lives)

    def _progress(self) -> str:
        life = self.lives[-1]
        began = "unsaid" if life.told is None else f"step {life.told}"
        count = f"{self._n_kills()}/{self.arguments.kills}"
        return f"{count}  {life.phase} after {life.seconds:.1f} s, began at {began}"

    def _live(self, run: RunDirectory, number: int) -> Life:
        """One process of a run, until it is killed or ends, and the checks of what it leaves."""
        cold = len(self.lives) % COLD_EVERY == 0
        start_up = self.times["cold start-up" if cold else "warm start-up"]
        training = self.times["warm run"] - self.times["warm start-up"]
        latest = 2 * start_up + training * soak.SAVED_EVERY / soak.STEPS
        rng = np.random.default_rng((self.arguments.seed, len(self.lives)))
        delay = rng.uniform(0, latest) if self._n_kills() < self.arguments.kills else None

        found, before = last_good(run), _inode(run.metrics_file)
        start = time.monotonic()
        with self._process(run, cold=cold) as process:
            try:
                process.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                process.kill()
        seconds = time.monotonic() - start
        require(process.returncode in (0, -9), f"{run.path} failed: {self._said()}")
        phase = "end" if process.returncode == 0 else self._phase(run, before)
        began = _BEGAN.search(self._said())
        told = None if began is None else int(began[1])
        require(told in (None, found or 0), f"{run.path} began at {told}, with step {found} there")
        require("skipped" not in self._said(), f"{run.path} was damaged: {self._said()}")
        left = last_good(run)
        require((left or 0) >= (found or 0), f"{run.path} had step {found}, and has now {left}")
        soak.check_metrics(run, left or 0)
        return Life(number, round(seconds, 3), phase, found, told)

    def _phase(self, run: RunDirectory, metrics_before: int | None) -> str:
        """What a process that was killed was doing, by what it said and wrote."""
        if not _BEGAN.search(self._said()):
            return "start-up"
        if _inode(run.metrics_file) == metrics_before:
            return "compilation"
        if run.result_file.exists():
            return "after the result"
        saved = set(checkpoint.saved_steps(run.checkpoints))
        unfinished = saved - set(checkpoint.good_steps(run.checkpoints))
        return "saving" if unfinished else "training"

    def damage(self, number: int) -> Damage:
        """Damages the last checkpoint of a copy of the undisturbed run, and goes on with it."""
        rng = np.random.default_rng((self.arguments.seed, 1, number))
        run = RunDirectory(self.folder / "damaged")
        shutil.rmtree(run.path, ignore_errors=True)
        shutil.copytree(self.reference.path, run.path)
        *_, before, last = checkpoint.good_steps(run.checkpoints)
        expected = soak.state_bytes(run, before)
        folder = run.checkpoints / str(last)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
        file = files[rng.integers(len(files))]
        cut = bool(rng.integers(2))
        _damage(file, cut, rng)

        trained = number % TRAINED_EVERY == 0
        if trained:
            with self._process(run) as process:
                process.wait()
            said = self._said()
            require(str(file) in said and _BEGAN.findall(said) == [str(before)], said)
            require_same_end(run, self.reference)
        else:
            told: list[str] = []
            require(str(file) in _refusal(run), f"--strict did not name {file}")
            begun = _start(run, told.append).state
            require(len(told) == 1 and str(file) in told[0], f"{file} was not named in {told}")
            state = soak.leaf_bytes((begun.params, begun.all_but_params()))
            require(state == expected, f"{run.path} is not at step {before}")
        name = re.sub(r"/[0-9a-f]{32}$", "/(data)", file.relative_to(folder).as_posix())
        print(f"{number + 1}/{self.arguments.flips}  {'cut' if cut else 'bit flipped'}: {name}")
        return Damage(name, cut, trained)

    def _prepare(self) -> None:
        config = soak.soak()
        source = config.data.source
        assert isinstance(source, StoryWorld)
        prepare_storyworld(
            self.folder / "data",
            train_megabytes=source.train_megabytes,
            validation_megabytes=source.validation_megabytes,
            vocab_size=config.model.vocab_size,
            seed=source.seed,
            report=print,
        )

    def _process(self, run: RunDirectory, *, cold: bool = False) -> subprocess.Popen:
        """A process that trains; what it says goes to a file."""
        command = [sys.executable, "-m", "sgatlin", "train", soak.__file__]
        command += ["--workdir", str(run.path), "--data.source.path", str(self.folder / "data")]
        env = {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str((self.folder / "cache").absolute()),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_ENABLE_COMPILATION_CACHE": "0" if cold else "1",
            "PYTHONUNBUFFERED": "1",
        }
        with (self.folder / "said.txt").open("wb") as said:
            return subprocess.Popen(command, stdout=said, stderr=said, env=os.environ | env)

    def _said(self) -> str:
        return (self.folder / "said.txt").read_text(encoding="utf-8", errors="replace")


def _inode(file: Path) -> int | None:
    """Which file it is: a run that begins to train replaces its metrics.jsonl."""
    return file.stat().st_ino if file.exists() else None


def _damage(file: Path, cut: bool, rng: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    place = int(rng.integers(len(content)))
    if cut:
        del content[place:]
    else:
        content[place] ^= 1 << int(rng.integers(8))
    file.write_bytes(content)


def _start(run: RunDirectory, tell: Callable[[str], None], *, strict: bool = False) -> Start:
    return start_run(
        run.config(),
        run,
        init_from=None,
        branch_from=None,
        tokenizer_hash="",  # of another run's data: there is none
        strict=strict,
        tell=tell,
    )


def _refusal(run: RunDirectory) -> str:
    try:
        _start(run, print, strict=True)
    except UserError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Arguments)))
