# SPDX-License-Identifier: Apache-2.0
"""datatrove's executors prepare the same bytes, and what fails there is told as anywhere.

Slurm is played by three scripts on PATH; its tasks are run as its nodes would run them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sgatlin.errors import RunStopped, UserError
from sgatlin.input.preparation import engines
from sgatlin.input.preparation.manner import Engine, Manner
from sgatlin.input.preparation.prepare import work_folder
from tests.input.preparation.corpus import (
    SETS,
    hashes_of,
    make_texts,
    prepare_folder,
    small_tokenizer,
    write_jsonl,
)

SETTINGS = {"set_field": "meta.redpajama_set_name"}
SLURM = Engine(name="slurm", partition="cpu", time="00:10:00")
DATATROVE = Engine(name="datatrove")

# Appends what it is given to a file, and prints what Slurm would.
SBATCH = """#!/bin/sh
n=$(ls "$RECORDED" | wc -l)
for last; do :; done
{ echo "$@"; cat "$last"; } > "$RECORDED/job$n"
echo "Submitted batch job $((1000 + n))"
"""

# datatrove makes a manager of its own, which Python from 3.12 on does not like beside threads.
with_a_manager = pytest.mark.filterwarnings("ignore:This process .*threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Path:
    """Four files in as many groups."""
    monkeypatch.setattr("sgatlin.input.preparation.plan._GROUP_BYTES", (1, 1))
    folder = tmp_path / "corpus"
    for number in range(3):
        write_jsonl(folder / f"train/{number}.jsonl.zst", make_texts(30, seed=number), SETS)
    write_jsonl(folder / "validation/a.jsonl.gz", make_texts(20, seed=7), SETS[:2])
    return folder


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """A folder in which there is a file for each job that was submitted."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "jobs").mkdir()
    for name, text in {
        "sbatch": SBATCH,
        "scontrol": "#!/bin/sh\necho node1\n",
        "srun": '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do [ "$1" = -n ] && shift; shift; done\n'
        'exec "$@"\n',
    }.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORDED", str(tmp_path / "jobs"))
    return tmp_path / "jobs"


def break_file(corpus: Path, number: int) -> bytes:
    """Damages a file; returns what it held."""
    path = corpus / f"train/{number}.jsonl.zst"
    content = path.read_bytes()
    path.with_suffix("").write_bytes(b"x\n")
    path.unlink()
    return content


def mend_file(corpus: Path, number: int, content: bytes) -> None:
    (corpus / f"train/{number}.jsonl").unlink()
    (corpus / f"train/{number}.jsonl.zst").write_bytes(content)


@with_a_manager
@pytest.mark.parametrize("n_workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_datatrove_prepares_the_same_bytes(corpus, tokenizer, tmp_path, capfd, n_workers):
    prepare_folder(corpus, tmp_path / "one", tokenizer, **SETTINGS)
    manner = Manner(engine=DATATROVE, n_workers=n_workers)
    prepare_folder(corpus, tmp_path / "other", tokenizer, manner, **SETTINGS)
    assert hashes_of(tmp_path / "one") == hashes_of(tmp_path / "other")
    # Of its log no more than how a worker begins.
    # Some lines for each worker, and for the whole; not some for each task.
    assert len(capfd.readouterr().err.splitlines()) <= 10 + 6 * n_workers


@with_a_manager
def test_datatrove_tells_a_bad_record_in_one_line_and_goes_on(
    corpus, tokenizer, tmp_path, capfd, monkeypatch
):
    prepare_folder(corpus, tmp_path / "whole", tokenizer, **SETTINGS)
    content = break_file(corpus, 1)
    manner = Manner(engine=DATATROVE, n_workers=1)
    with pytest.raises(UserError, match=r"^train/1\.jsonl, line 1: not JSON[^\n]+$"):
        prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **SETTINGS)
    assert "Traceback" not in capfd.readouterr().err
    mend_file(corpus, 1, content)
    prepared: list[str] = []
    original = engines.prepare_group

    def noted(work, plan, group, **kwargs):
        prepared.extend(file.file for file in group.inputs)
        original(work, plan, group, **kwargs)

    monkeypatch.setattr(engines, "prepare_group", noted)
    prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **SETTINGS)
    assert prepared == ["train/1.jsonl.zst", "train/2.jsonl.zst"]
    assert hashes_of(tmp_path / "out") == hashes_of(tmp_path / "whole")


def test_slurm_is_given_an_array_of_tasks(corpus, tokenizer, tmp_path, slurm):
    told = prepare_folder(corpus, tmp_path / "out", tokenizer, Manner(engine=SLURM), **SETTINGS)
    assert re.match(r"Slurm has 4 tasks; when .* give the same command again", told[-1])
    assert not (tmp_path / "out").exists()
    tasks = (slurm / "job0").read_text()
    for setting in ("partition=cpu", "time=00:10:00", "job-name=sgatlin-prepare"):
        assert f"#SBATCH --{setting}\n" in tasks
    assert re.search(r"^#SBATCH --array=0-3(%4)?$", tasks, re.MULTILINE)
    assert "qos" not in tasks
    assert "mail" not in tasks
    activate = re.search(r"^ *source (.*)$", tasks, re.MULTILINE)
    if sys.prefix != sys.base_prefix:
        assert Path(activate[1]).samefile(f"{sys.prefix}/bin/activate")
        # The environment is this one.
        command = f"source {activate[1]} && command -v python launch_pickled_pipeline"
        found = subprocess.run(["bash", "-ec", command], capture_output=True, text=True).stdout
        assert [Path(line).parent for line in found.splitlines()] == [Path(sys.prefix, "bin")] * 2


def test_workers_limit_the_tasks_of_slurm_at_a_time(corpus, tokenizer, tmp_path, slurm):
    manner = Manner(engine=SLURM, n_workers=2)
    prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **SETTINGS)
    assert "#SBATCH --array=0-3%2\n" in (slurm / "job0").read_text()


def run_task(slurm: Path, job: int, number: int) -> subprocess.CompletedProcess:
    """Runs the script of a job as a node of Slurm would, for a task of its array."""
    script = slurm / f"script{job}"
    script.write_text((slurm / f"job{job}").read_text().partition("\n")[2])
    environment = {"SLURM_ARRAY_TASK_ID": str(number), "RUN_OFFSET": "0", "SLURM_NODELIST": "node1"}
    root = str(Path(__file__).parents[3])
    process = subprocess.run(
        ["bash", script],
        env=os.environ | environment | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
    )
    script.unlink()
    return process


@pytest.mark.slow
def test_the_same_command_goes_on_where_slurm_s_tasks_end(corpus, tokenizer, tmp_path, slurm):
    prepare_folder(corpus, tmp_path / "whole", tokenizer, **SETTINGS)
    content = break_file(corpus, 1)
    manner = Manner(engine=SLURM)
    prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **SETTINGS)
    assert run_task(slurm, 0, 0).returncode == 0
    failed = run_task(slurm, 0, 2)
    assert failed.returncode != 0
    reason = "train/1.jsonl, line 1: not JSON"
    assert reason in failed.stderr

    # The others as Slurm's script would, but in this process, which is quicker.
    work = work_folder(tmp_path / "out")
    for rank in (1, 3):
        engines.prepare_task(work, (0, 1, 2, 3), 0, None, rank, 4)
    told = prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **SETTINGS)
    assert told[0] == "goes on: 3 of 4 parts are done"
    assert told[1].startswith(f"1 of 1 tasks failed before, the first: {reason}")
    assert told[2].startswith("Slurm has 1 tasks")
    assert "--array=0-0" in (slurm / "job2").read_text()  # after job1, which adds up statistics

    mend_file(corpus, 1, content)
    told = prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **SETTINGS)
    assert told[-1].startswith("Slurm has 1 tasks")
    engines.prepare_task(work, (2,), 0, None, 0, 1)
    prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **SETTINGS)
    assert hashes_of(tmp_path / "out") == hashes_of(tmp_path / "whole")


def test_a_plan_that_is_in_use_is_not_written_again(corpus, tokenizer, tmp_path, slurm):
    prepare_folder(corpus, tmp_path / "out", tokenizer, Manner(engine=SLURM), **SETTINGS)
    work = work_folder(tmp_path / "out")
    files = [work / "plan.json", work / "tokenizer.json"]
    before = [path.stat() for path in files]
    prepare_folder(corpus, tmp_path / "out", tokenizer, Manner(engine=SLURM), **SETTINGS)
    after = [path.stat() for path in files]
    assert [(s.st_ino, s.st_mtime_ns) for s in after] == [(s.st_ino, s.st_mtime_ns) for s in before]


@pytest.mark.parametrize("sbatch", ["exit 3", None])
def test_slurm_that_refuses_or_is_not_there(
    corpus, tokenizer, tmp_path, slurm, monkeypatch, sbatch
):
    program = tmp_path / "bin/sbatch"
    program.write_text(f"#!/bin/sh\n{sbatch}\n")
    if sbatch is None:
        program.unlink()
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(RunStopped, match=r"^slurm failed, [^\n]*sbatch[^\n]* what is finished is"):
        prepare_folder(corpus, tmp_path / "out", tokenizer, Manner(engine=SLURM), **SETTINGS)


def test_slurm_within_a_task_of_slurm(corpus, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    with pytest.raises(UserError, match=r"^--engine\.name slurm submits tasks: .* outside of one"):
        prepare_folder(corpus, tmp_path / "out", tokenizer, Manner(engine=SLURM), **SETTINGS)


def test_ray_is_given_the_tasks(corpus, tokenizer, tmp_path, monkeypatch):
    from datatrove import executor

    given = {}

    class Ray:
        def __init__(self, **arguments):
            given.update(arguments)

        def run(self):
            (step,) = given["pipeline"]
            for rank in range(given["tasks"]):
                step(None, rank, given["tasks"])

    monkeypatch.setattr(executor, "RayPipelineExecutor", Ray)
    monkeypatch.setitem(sys.modules, "ray", sys)
    manner = Manner(engine=Engine(name="ray"))
    prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **SETTINGS)
    logs = str(work_folder(tmp_path / "out") / "logs")
    given.pop("pipeline")
    assert given == {"tasks": 4, "workers": 4, "logging_dir": logs, "skip_completed": False}
    prepare_folder(corpus, tmp_path / "whole", tokenizer, **SETTINGS)
    assert hashes_of(tmp_path / "out") == hashes_of(tmp_path / "whole")


def test_an_engine_s_own_failure_is_one_line(corpus, tokenizer, tmp_path, monkeypatch):
    from datatrove import executor

    class Broken:
        def __init__(self, **_):
            pass

        def run(self):
            raise ValueError("two\nlines\n\nand more")

    monkeypatch.setattr(executor, "LocalPipelineExecutor", Broken)
    message = r"^datatrove failed, ValueError: two lines and more; logs are in .*/logs\. The same"
    with pytest.raises(RunStopped, match=message):
        prepare_folder(corpus, tmp_path / "out", tokenizer, Manner(engine=DATATROVE), **SETTINGS)


@pytest.mark.parametrize(
    ("engine", "missing", "message"),
    [
        ("datatrove", "datatrove", "needs datatrove: install the extra, sgatlin[datatrove]"),
        ("slurm", "datatrove", "needs datatrove: install the extra, sgatlin[datatrove]"),
        ("ray", "datatrove", "needs datatrove: install the extra, sgatlin[datatrove]"),
        ("ray", "ray", "needs ray: install it"),
    ],
)
def test_what_is_not_installed(corpus, tokenizer, tmp_path, monkeypatch, engine, missing, message):
    monkeypatch.setitem(sys.modules, missing, None)
    manner = Manner(engine=Engine(name=engine, partition="cpu"))
    with pytest.raises(UserError) as told:
        prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **SETTINGS)
    assert str(told.value) == f"--engine.name {engine} {message}"


def test_slurm_has_to_be_told_a_partition():
    with pytest.raises(UserError, match=r"^--engine\.name slurm needs --engine\.partition$"):
        Engine(name="slurm")
