# SPDX-License-Identifier: Apache-2.0
"""How far a preparation is: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

_LINE_SECONDS = 30.0


class Progress:
    """Tells bytes read of all files, the speed in text per second, and the time left."""

    def __init__(self, total: int, done: int, tell: Callable[[str], None]):
        """`total` bytes of files, of which `done` were read before."""
        self._tell = tell
        self._start = self._told = time.monotonic()
        self._bar = tqdm(
            total=max(total, 1),  # of nothing it has no percentage to show
            initial=done,
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
            leave=False,
            bar_format="{percentage:3.0f} % of {total_fmt}B |{bar}| {remaining} left{postfix}",
        )
        self._done_before = done

    def update(self, n_read: int, n_text: int) -> None:
        """Tells where things stand: bytes read of files in all, bytes of text since the start."""
        now = time.monotonic()
        speed = n_text / 1e6 / max(now - self._start, 1e-9)
        self._bar.set_postfix_str(f"{speed:.1f} MB/s of text", refresh=False)
        self._bar.update(n_read - self._bar.n)
        if self._bar.disable and now - self._told > _LINE_SECONDS:
            self._told = now
            share = n_read / self._bar.total
            left = (
                (now - self._start)
                * (self._bar.total - n_read)
                / max(n_read - self._done_before, 1)
            )
            self._tell(f"{share:4.0%}, {speed:.1f} MB/s of text, {tqdm.format_interval(left)} left")

    def close(self) -> None:
        self._bar.close()
