# SPDX-License-Identifier: Apache-2.0
"""What is logged, in every form: JSON lines, TensorBoard, Weights & Biases, the terminal."""

import errno
import io
import json
import struct
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from sgatlin.config import LogConfig
from sgatlin.errors import UserError
from sgatlin.train import report
from sgatlin.train.metrics import JsonLines, ProgressLine, duration, make_trackers
from sgatlin.train.tensorboard import TensorBoard
from tests.train.disk import largest_file

PER_LAYER = {"loss": np.float32(0.5), "router/score_rms": np.array([1.0, 2.0])}


def read_events(folder: Path) -> list[Event]:
    """TensorBoard's records: length (8 bytes), its checksum (4), the event, its checksum (4)."""
    events = []
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            events.append(Event.FromString(data[at + 12 : at + 12 + length]))
            at += 12 + length + 4
    return events


def scalars(events: list[Event]) -> list[tuple[int, str, float]]:
    return [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_hold_numbers_and_lists(tmp_path):
    path = tmp_path / "metrics.jsonl"
    tracker = JsonLines(path, first_step=1)
    tracker.log(1, PER_LAYER)
    (line,) = lines(path)  # before closing: a killed run has them too
    assert line.pop("time") > 1.6e9
    assert line == {"step": 1, "loss": 0.5, "router/score_rms": [1.0, 2.0]}
    tracker.close()


def test_json_lines_of_a_run_that_goes_on_drop_what_is_repeated(tmp_path):
    path = tmp_path / "metrics.jsonl"
    before = [json.dumps({"step": step, "loss": 0.0}) for step in (1, 2, 3, 4)]
    path.write_text("\n".join([*before, '{"step": 5, "lo']))
    tracker = JsonLines(path, first_step=3)
    tracker.log(3, {"loss": 1.0})
    tracker.close()
    assert [(line["step"], line["loss"]) for line in lines(path)] == [(1, 0.0), (2, 0.0), (3, 1.0)]


def test_a_validation_that_is_repeated_is_kept_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": 2, "val_loss": 3.0}, {"step": 4, "loss": 1.0}, {"step": 4, "val_loss": 2.0}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    JsonLines(path, first_step=5).close()
    assert lines(path) == rows
    JsonLines(path, first_step=5, validates_again=True).close()
    assert lines(path) == rows[:2]


@pytest.mark.parametrize("form", ["metrics.jsonl", "tensorboard"])
def test_a_full_disk_is_told_with_the_file_and_closing_is_quiet(tmp_path, form):
    folder = tmp_path / "tensorboard"
    in_json = form == "metrics.jsonl"
    tracker = JsonLines(tmp_path / form, 1) if in_json else TensorBoard(folder, 1)
    file = tmp_path / form if in_json else next(folder.iterdir())
    tracker.log(1, PER_LAYER)
    with largest_file(file.stat().st_size + 10):
        with pytest.raises(OSError, match=rf"'{file}'$") as part:
            tracker.log(2, PER_LAYER)
        with pytest.raises(OSError, match=rf"'{file}'$") as nothing:
            tracker.log(3, PER_LAYER)
    assert (part.value.errno, nothing.value.errno) == (errno.ENOSPC, errno.EFBIG)
    tracker.close()
    if in_json:
        JsonLines(file, first_step=4).close()
        assert [line["step"] for line in lines(file)] == [1]


def test_tensorboard_has_a_curve_for_each_layer(tmp_path):
    tracker = TensorBoard(tmp_path, first_step=1)
    tracker.log(7, PER_LAYER)
    tracker.close()
    assert scalars(read_events(tmp_path)) == [
        (7, "loss", 0.5),
        (7, "router/score_rms/layer0", 1.0),
        (7, "router/score_rms/layer1", 2.0),
    ]


def test_tensorboard_of_a_run_that_goes_on_hides_what_is_repeated(tmp_path):
    TensorBoard(tmp_path, first_step=11).close()
    starts = [e.step for e in read_events(tmp_path) if e.HasField("session_log")]
    assert starts == [11]  # TensorBoard discards earlier events from this step on


def test_tensorboard_reads_files_in_their_order_whatever_the_clock_says(tmp_path, monkeypatch):
    for now in (2000.0, 1000.0, 1000.0, 3000.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        TensorBoard(tmp_path, first_step=1).close()
    numbers = [path.name.split(".")[3] for path in sorted(tmp_path.iterdir())]
    assert numbers == ["2000", "2001", "2002", "3000"]


def test_wandb_missing_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = LogConfig(tensorboard=False, wandb_project="stories")
    with pytest.raises(UserError) as caught:
        make_trackers(config, tmp_path, first_step=1)
    assert str(caught.value) == (
        "log.wandb_project is set but wandb is not installed: "
        "install it with `uv sync --extra wandb`"
    )


def test_wandb_is_told_the_same_and_goes_on_under_one_id(tmp_path, monkeypatch):
    calls = []

    class Run:
        def log(self, metrics, step):
            calls.append((step, metrics))

        def finish(self):
            calls.append("finished")

    def init(**arguments):
        calls.append(arguments)
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    folder = tmp_path / "story"
    folder.mkdir()
    config = LogConfig(tensorboard=False, wandb_project="stories")
    for tracker in make_trackers(config, folder, first_step=1):
        tracker.log(3, PER_LAYER)
        tracker.close()
    started, logged, finished = calls
    assert (started["project"], started["id"], started["resume"]) == ("stories", "story", "allow")
    values = {"loss": 0.5, "router/score_rms/layer0": 1.0, "router/score_rms/layer1": 2.0}
    assert logged == (3, values)
    assert finished == "finished"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_one_line_rewritten(monkeypatch):
    monkeypatch.setattr(sys, "stdout", stdout := Terminal())
    progress = ProgressLine()
    progress.show("step 1 of 2, long")
    progress.show("step 2")
    progress.show("step 3", last=True)
    progress.end()  # nothing is left open
    first, second, third = stdout.getvalue().lstrip("\r").split("\r")
    assert [first, second.rstrip(), third] == ["step 1 of 2, long", "step 2", "step 3\n"]
    assert len(second) == len(first)  # blanks over what was there


def test_progress_that_breaks_off_leaves_the_terminal_on_a_new_line(monkeypatch):
    monkeypatch.setattr(sys, "stdout", stdout := Terminal())
    progress = ProgressLine()
    progress.show("step 1")
    progress.end()
    assert stdout.getvalue() == "\rstep 1\n"


def test_progress_elsewhere_is_a_line_now_and_then_and_the_last(capsys):
    progress = ProgressLine(seconds_between=1000.0)
    for step in (1, 2, 3):
        progress.show(f"step {step}", last=step == 3)
    assert capsys.readouterr().out == "step 1\nstep 3\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (123, "2:03"), (3723, "1:02:03")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_clock_counts_pauses_as_time_but_not_in_the_rate(monkeypatch):
    now = 100.0
    monkeypatch.setattr(report.time, "monotonic", lambda: now)
    clock = report.Clock(seconds_before=50.0)
    clock.count(60)
    now += 2.0
    with clock.paused():
        now += 10.0
    now += 1.0
    assert clock.rate() == pytest.approx(20.0)  # 60 tokens in the 3 s that were not paused
    assert clock.seconds() == pytest.approx(63.0)
    clock.count(10)
    now += 1.0
    assert clock.rate() == pytest.approx(10.0)
