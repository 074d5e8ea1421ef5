# SPDX-License-Identifier: Apache-2.0
"""The command line: every bad input ends in one clear line and exit code 2; the rest does its work.

Most of it runs in this process, which is quick; `train.py` itself in one of its own.
"""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from sgatlin.cli import COMMANDS, main, run_command
from sgatlin.config import Config, load_config
from sgatlin.errors import RunStopped
from sgatlin.input.storyworld.prepare import prepare_storyworld
from sgatlin.scaling.flops import n_parameters
from sgatlin.train.loop import Trainer
from sgatlin.train.memory import training_memory
from sgatlin.train.run import RunDirectory
from tests.told import told
from tests.toy import STEPS, flags

ROOT = Path(__file__).resolve().parent.parent

SMALL_VOCABULARY = """
from sgatlin.config import Config, DataConfig, Prepared, TrainConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import ConstantSchedule

config = Config(
    name="small",
    model=TransformerConfig(vocab_size=299, d_model=64, n_layers=1),
    data=DataConfig(source=Prepared(path={data!r})),
    optimizer=OptimizerConfig(schedule=ConstantSchedule(warmup_steps=1)),
    train=TrainConfig(steps=10),
)
VARIANTS = {{"only": lambda: config}}
"""

# Arguments, and what the line has to name: the field or option, its value, and the mend.
WITHOUT_DATA = [
    ("trian", ["unknown command 'trian'", "train, eval, generate, cost, prepare"]),
    ("--trian", ["unknown command '--trian'"]),
    ("train storywrld", ["unknown config 'storywrld'", "did you mean 'storyworld'?"]),
    ("train storyworld:swigl", ["no variant 'swigl'", "did you mean 'swiglu'?"]),
    ("train nowhere.py", ["config file nowhere.py does not exist"]),
    ("train storyworld extra", ["Unrecognized options: extra", "--help"]),
    ("train --train.stepz 3", ["--train.stepz", "did you mean --train.steps INT?"]),
    (
        "train --learning-rate 3",
        ["--learning-rate", "did you mean --optimizer.learning-rate FLOAT"],
    ),
    ("train --train.steps many", ["--train.steps", "'many'", "give --train.steps INT"]),
    ("train --train.steps 1.5", ["--train.steps", "'1.5'", "give --train.steps INT"]),
    ("train --optimizer.learning-rate x", ["--optimizer.learning-rate", "'x'", "FLOAT"]),
    ("train --train.steps", ["Missing value for argument '--train.steps'"]),
    ("train --model.dtype half", ["--model.dtype", "'half'", "'auto', 'float32', 'bfloat16'"]),
    ("train {layer}.kind mlp", ["{layer}.kind", "'mlp'", "'sgatlin'"]),
    ("train {layer}.n-neurons 200", ["n_neurons=200", "perfect square", "196 or 225"]),
    ("train {layer}.n-neurons 256 {layer}.top-k 16", ["top_k=16", "n_neurons=256", "at most 15"]),
    ("train --model.d-model 100 --model.d-head 48", ["d_model=100 is not a multiple of d_head=48"]),
    ("train --data.seq-len 0", ["seq_len=0 must be at least 1"]),
    ("train --data.batch-size 10 --train.accumulate 4", ["data.batch_size=10", "accumulate=4"]),
    ("train --train.steps 9 --optimizer.schedule.warmup-steps 10", ["warmup_steps=10", "steps=9"]),
    ("train --train.seed -1", ["seed=-1 must be at least 0"]),
    ("train --optimizer.weight-decay nan", ["weight_decay=nan must be at least 0"]),
    (
        "train --checkpoint.every-steps 5 --checkpoint.keep-every 7",
        ["keep_every=7", "every_steps=5"],
    ),
    ("train --data.source.train-megabytes -1", ["train_megabytes=-1.0 must be above 0"]),
    ("train --profile ten", ["--profile ten: give FIRST:LAST, such as 10:13"]),
    ("train --profile 5:3", ["--profile 5:3: give FIRST:LAST"]),
    ("train --profile 900000:900001", ["--profile 900000:900001: the run ends at step"]),
    ("train --init-from a --branch-from b", ["--init-from and --branch-from", "choose one"]),
    ("eval", ["RUN", "--help"]),
    ("eval nowhere", ["nowhere is not a run directory: it has no config.json"]),
    ("eval nowhere --json .", ["--json . is a folder: name a file"]),
    ("generate nowhere --temperature -1", ["temperature=-1.0 must be at least 0"]),
    ("generate nowhere --samples 0", ["samples=0 must be at least 1"]),
    ("generate nowhere --max-tokens 0", ["max_tokens=0 must be at least 1"]),
    ("generate nowhere --seed -1", ["seed=-1 must be at least 0"]),
    ("generate nowhere --promt x", ["--promt", "did you mean --prompt STR?"]),
    ("prepare tinystorys", ["prepare tinystorys", "there are prepare storyworld, tinystories"]),
    ("data shows", ["there are data verify, show"]),
    (
        "prepare storyworld --vocab-size 9 --train-megabytes 0.01 --out here",
        ["vocab_size=9", "at least 257"],
    ),
]

WITH_A_RUN = [
    ("train {toy} --data.seq-len 1000000", ["seq_len=1000000", "longer than the data", "at most"]),
    ("train {toy} --data.batch-size 100000", ["batch_size=100000 must be in 1..", "seq_len=16"]),
    (
        "train {toy} --data.source.seed 1",
        ["was prepared with seed=0, not 1", "remove it or choose"],
    ),
    ("train {config}", ["model.vocab_size=299", "300 ids", "--model.vocab-size 300"]),
    ("train {toy} --init-from {folder}", ["{folder} is not a run directory"]),
    ("train {toy} --init-from {run}@7", ["no checkpoint '7'", "best and steps 5, 10, 15, 20"]),
    ("train {toy} --branch-from {run}@20", ["no such checkpoint at or before step 16"]),
    ("train {toy} --workdir {file}", ["{file} exists and is not a run directory", "--workdir"]),
    ("train {toy} --workdir {folder}", ["{folder} exists and is not a run", "choose another"]),
    (
        "train {toy} --workdir {run} --train.seed 3 --model.n-layers 1",
        ["another config", "model.n_layers: 2, 1; ", "train.seed: 0, 3", "another --workdir"],
    ),
    ("eval {run} --data {other}/train", ["{other}/train was made with another tokenizer than"]),
    ("eval {run} --data {folder}", ["{folder} has no manifest.json", "sgatlin prepare"]),
    ("eval {run} --max-tokens 0", ["nothing to evaluate", "max_tokens=0"]),
    ("eval {run}@6", ["no checkpoint '6'", "best and steps 5, 10, 15, 20"]),
    ("generate {run} --prompt " + 30 * "z", ["prompt has", "the context 16", "shorten the prompt"]),
]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def places(toy: Config, toy_run: Path, tmp_path_factory) -> dict[str, str]:
    """What stands for {names} in arguments: a run, and things that are none."""
    base = tmp_path_factory.mktemp("places")
    (base / "file").write_text("x")
    (base / "folder").mkdir()
    (base / "folder" / "thesis.tex").write_text("x")
    (base / "config.py").write_text(SMALL_VOCABULARY.format(data=toy.data.source.path))
    other = {"train_megabytes": 0.02, "validation_megabytes": 0.001, "vocab_size": 260, "seed": 0}
    prepare_storyworld(base / "other", **other, report=lambda line: None)
    names = {name: str(base / name) for name in ("file", "folder", "other")}
    made = {"toy": " ".join(flags(toy)), "run": str(toy_run), "config": str(base / "config.py")}
    return names | made


@pytest.mark.parametrize(("arguments", "named"), WITHOUT_DATA)
def test_bad_input(folder, capsys, arguments, named):
    places = {"layer": "--model.feed-forward"}
    line = told(arguments.format(**places).split(), capsys)
    assert [part for part in named if part.format(**places) not in line] == [], line
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("arguments", "named"), WITH_A_RUN)
def test_bad_input_about_data_and_runs(folder, places, toy_run, capsys, arguments, named):
    before = sorted(path for path in toy_run.rglob("*"))
    line = told(arguments.format(**places).split(), capsys)
    assert [part for part in named if part.format(**places) not in line] == [], line
    assert list(folder.iterdir()) == []
    assert sorted(path for path in toy_run.rglob("*")) == before


def test_colours_of_a_terminal_do_not_get_into_the_line(folder, monkeypatch, capsys):
    monkeypatch.setattr("tyro._fmtlib._FORCE_ANSI", True)
    line = told(["train", "--train.stepz", "3"], capsys)
    assert line.startswith("Unrecognized options: --train.stepz, 3; did you mean --train.st")
    assert "\x1b" not in line


def test_train_script_itself(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "storyworld:mlp", "--train.stepz", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "sgatlin: Unrecognized options: --train.stepz, 3; did you mean --train.steps INT? "
        "(train.py CONFIG --help lists all)\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_line_lost_to_a_closed_pipe_is_no_error(tmp_path):
    """As in `sgatlin --help | head -1`."""
    command = [sys.executable, "-c", "from sgatlin.cli import main; main(['--help'])"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(command, cwd=tmp_path, stdout=write_end, stderr=subprocess.PIPE)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_commands_are_listed(arguments, capsys):
    main(arguments)
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize(
    ("command", "option"), [("train", "--model.feed-forward.top-k"), ("generate", "--top-p")]
)
def test_help_lists_fields(command, option, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert not stop.value.code
    assert option in capsys.readouterr().out


def test_a_stopped_run_ends_with_1(capsys):
    def stopped() -> None:
        raise RunStopped("stopped at step 3")

    with pytest.raises(SystemExit) as stop:
        run_command(stopped)
    assert stop.value.code == 1
    assert capsys.readouterr().err == "sgatlin: stopped at step 3\n"


def test_control_c_ends_without_a_traceback():
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        run_command(interrupted)
    assert stop.value.code == 128 + signal.SIGINT


@pytest.mark.parametrize("spec", ["storyworld", "storyworld:swiglu"])
def test_dry_run_tells_size_and_cost_and_touches_nothing(folder, capsys, spec):
    changes = ["--train.steps", "1000", "--data.batch-size", "4", "--data.seq-len", "32"]
    main(["train", spec, *changes, "--dry-run"])
    out = capsys.readouterr().out
    assert list(folder.iterdir()) == []

    shipped = load_config(spec)
    config = dataclasses.replace(
        shipped,
        train=dataclasses.replace(shipped.train, steps=1000),
        data=dataclasses.replace(shipped.data, batch_size=4, seq_len=32),
    )
    model = config.model
    # Per token and layer: attention 8 D^2 + 4 T D, and the feed-forward layer; training is 3 times.
    attention = 8 * model.d_model**2 + 4 * 32 * model.d_model
    layer = attention + model.feed_forward.forward_flops(model.d_model)
    paper = 3 * model.n_layers * layer * 128_000
    full = paper + 3 * 2 * model.d_model * model.vocab_size * 128_000
    memory = training_memory(config)
    rows = dict(re.findall(r"^(\S.*?)  +(\S.*)$", out, re.MULTILINE))
    assert rows["steps"] == "1,000"
    assert rows["tokens"] == "128,000"
    assert rows["parameters"] == f"{n_parameters(model):,}"
    assert float(rows["training FLOPs, layers only (paper)"]) == pytest.approx(paper, rel=0.005)
    assert float(rows["training FLOPs, with unembedding (full)"]) == pytest.approx(full, rel=0.005)
    assert rows["memory: optimizer"] == f"{memory.optimizer / 2**20:,.1f} MiB"
    assert rows["memory: in all, about, on a cpu"] == f"{memory.total / 2**20:,.1f} MiB"
    assert '"seq_len": 32' in out


@pytest.mark.usefixtures("compiled_once")
def test_train_tells_its_result_and_writes_a_sample(toy, toy_run, folder, capsys):
    main(["train", *flags(toy), "--workdir", "run"])
    out = capsys.readouterr().out
    result = RunDirectory(folder / "run").result()
    assert f"step {STEPS}/{STEPS}  loss " in out
    assert re.search(rf"^  val_perplexity +{result['val_perplexity']:,.4f}$", out, re.MULTILINE)
    assert re.search(r"^  bigram_perplexity +[0-9.]+$", out, re.MULTILINE)
    assert out.partition("A sample (more with: sgatlin generate run):\n\n")[2].strip()
    assert RunDirectory(folder / "run").config() == toy


@pytest.mark.usefixtures("compiled_once")
def test_a_run_that_fails_names_its_last_checkpoint(toy, folder, capsys, monkeypatch):
    def compile_and_poison(trainer: Trainer, programs) -> None:
        compiled(trainer, programs)
        step = trainer.train_step

        def poisoned(state, batch, learning_rate):
            state, metrics = step(state, batch, learning_rate)
            bad = {"loss": jax.numpy.nan, "guard/bad": jax.numpy.array(True)}
            return state, metrics | (bad if trainer.step == 6 else {})

        trainer.train_step = poisoned

    compiled = Trainer._compile
    monkeypatch.setattr(Trainer, "_compile", compile_and_poison)
    line = told(["train", *flags(toy), "--workdir", "run"], capsys, code=1)
    assert "stopped at step 7: loss nan" in line
    assert "the last good checkpoint is step 5 in run/checkpoints" in line


def test_eval_tells_the_loss_of_a_checkpoint(toy_run, places, folder, capsys):
    result = RunDirectory(toy_run).result()
    main(["eval", str(toy_run), "--json", "result.json"])
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == "set tokens documents loss perplexity bits per byte".split()
    assert row.split()[0] == "all"
    assert row.split()[3:] == [
        f"{result['val_loss']:.4f}",
        f"{result['val_perplexity']:.3f}",
        f"{result['val_bits_per_byte']:.4f}",
    ]
    written = json.loads((folder / "result.json").read_text())
    assert written["all"]["loss"] == pytest.approx(result["val_loss"], rel=1e-6)
    store = f"{places['toy'].partition('--data.source.path ')[2].split()[0]}/train"
    main(["eval", f"{toy_run}@5", "--data", store, "--max-tokens", "100"])
    # Six whole windows of 16.
    assert capsys.readouterr().out.splitlines()[1].split()[1] == "96"
    main(["eval", str(toy_run), "--form", "documents", "--max-documents", "2"])
    assert capsys.readouterr().out.splitlines()[1].split()[2] == "2"


def test_generate_writes_texts(toy_run, capsys):
    command = ["generate", str(toy_run), "--prompt", "The", "--max-tokens", "5", "--samples", "2"]
    main(command)
    out = capsys.readouterr().out
    first, second = re.fullmatch(r"--- 1 of 2\nThe(.*)\n--- 2 of 2\nThe(.*)\n", out, re.S).groups()
    assert first != second
    main(command)
    assert capsys.readouterr().out == out
