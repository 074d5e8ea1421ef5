# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of preparation: MB of text per second and core, and the largest process.

    python -m benchmarks.prepare --input slimpajama/train --tokenizer gpt2 --json prepare.json

prepares the files twice into a temporary folder, each time in a process of its own, with one worker
and with one for each core, and checks that both results are the same. Without --input, the story
world is written as jsonl.gz first, and a BPE of 2,048 entries is trained on it.
"""

import argparse
import gzip
import hashlib
import itertools
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sgatlin.cli import run_command
from sgatlin.errors import UserError
from sgatlin.input import storyworld
from sgatlin.input.manifest import read_manifest
from sgatlin.input.preparation.local import available_cores

N_STORIES = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of preparing text.")
    parser.add_argument("--input", nargs="+", help="files or folders of text")
    parser.add_argument("--tokenizer", help="gpt2, a tokenizer.json or a folder; trained if absent")
    parser.add_argument("--set-field", help="field that names a record's set")
    parser.add_argument("--json", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), arguments)
    print("workers  seconds  MB/s  MB/s per core-second  largest process MB")
    for row in rows:
        print(
            f"{row['workers']:7d}  {row['seconds']:7.1f}  {row['mb_per_second']:4.1f}"
            f"  {row['mb_per_core_second']:20.1f}  {row['peak_mb']:18.0f}"
        )
    if arguments.json:
        machine = {"machine": platform.machine(), "cores": available_cores()}
        arguments.json.write_text(json.dumps(machine | {"rows": rows}, indent=2) + "\n")


def measure(folder: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each number of workers; UserError if results differ."""
    inputs = arguments.input or [str(write_stories(folder / "stories.jsonl.gz"))]
    tokenizer = arguments.tokenizer or str(train_tokenizer(folder / "tokenizer.json", inputs))
    rows, results = [], []
    for workers in sorted({1, available_cores()}):
        out = folder / f"out{workers}"
        options = ["--tokenizer", tokenizer, "--workers", str(workers), "--out", str(out)]
        if arguments.set_field:
            options += ["--set-field", arguments.set_field]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        run("prepare", "text", "--input", *inputs, *options)
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        core_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        megabytes = sum(read_manifest(store).n_bytes for store in stores(out)) / 1e6
        rows.append(
            {
                "workers": workers,
                "megabytes": megabytes,
                "seconds": seconds,
                "mb_per_second": megabytes / seconds,
                "mb_per_core_second": megabytes / core_seconds,
                # Of all children so far: only the largest is known.
                "peak_mb": after.ru_maxrss / 1024,
            }
        )
        results.append(hashes(out))
    if any(result != results[0] for result in results):
        raise UserError("the results differ")
    return rows


def write_stories(path: Path) -> Path:
    """Stories of the story world as JSON lines."""
    stories = itertools.islice(storyworld.stories(0, "train"), N_STORIES)
    lines = "".join(json.dumps({"text": story}) + "\n" for story in stories)
    path.write_bytes(gzip.compress(lines.encode()))
    return path


def train_tokenizer(path: Path, inputs: list[str]) -> Path:
    run("tokenizer", "train", "--input", *inputs, "--vocab-size", "2048", "--out", str(path))
    return path


def run(*arguments: str) -> None:
    """A command of sgatlin in a process of its own; UserError if it fails."""
    command = [sys.executable, "-m", "sgatlin", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"sgatlin {' '.join(arguments[:2])} failed: {done.stderr.strip()}")


def stores(out: Path) -> list[Path]:
    return [folder for folder in sorted(out.iterdir()) if folder.is_dir()]


def hashes(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


if __name__ == "__main__":
    run_command(main)
