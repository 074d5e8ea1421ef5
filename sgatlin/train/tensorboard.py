# SPDX-License-Identifier: Apache-2.0
"""Metrics as TensorBoard's event files."""

import socket
import struct
import time
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from sgatlin.train.metrics import Appended, Metrics, by_layer


class TensorBoard:
    """Event files; a metric with several values, of layers and channels, becomes as many curves.

    tensorboardX's own writer is a thread that a full disk kills, after which the run would wait for
    it for ever.
    """

    def __init__(self, folder: Path, first_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names: whatever the clock says, last.
        numbers = [
            int(path.name.split(".")[3]) for path in folder.glob("events.out.tfevents.[0-9]*")
        ]
        number = max([int(time.time()), *(number + 1 for number in numbers)])
        self._file = Appended(folder / f"events.out.tfevents.{number}.{socket.gethostname()}")
        self._write(file_version="brain.Event:2")
        # Of the files before, events from this step on are void.
        self._write(step=first_step, session_log=SessionLog(status=SessionLog.START))

    def log(self, step: int, metrics: Metrics) -> None:
        values = [
            Summary.Value(tag=name, simple_value=value) for name, value in by_layer(metrics).items()
        ]
        self._write(step=step, summary=Summary(value=values))

    def close(self) -> None:
        self._file.close()

    def _write(self, **fields: Any) -> None:
        event = Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(event))
        checksums = [struct.pack("<I", masked_crc32c(data)) for data in (length, event)]
        self._file.write(length + checksums[0] + event + checksums[1])
