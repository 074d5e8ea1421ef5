# SPDX-License-Identifier: Apache-2.0
"""The figure of neighbours: a page on its own, and pictures of any text without a warning."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sgatlin.circuits.neighbour_figure import draw_neighbours, grey, longest_distance
from sgatlin.circuits.neighbour_table import Found, recorded
from sgatlin.circuits.neighbours import Neighbours
from sgatlin.errors import UserError

TEXTS = ["<b>&", " $x_", "\u0e01\U0001f422", "\n", '" onload="', "\x1b"]


def found() -> Found:
    """Six tokens; the last has one neighbour, the others two."""
    n = len(TEXTS)
    positions = pa.table(
        {
            "sequence": np.zeros(n, np.int64),
            "position": np.arange(1, n + 1, dtype=np.int32),
            "token": np.arange(n, dtype=np.int32),
            "text": TEXTS,
        }
    )
    rows = np.stack([(np.arange(n) + 1) % n, (np.arange(n) + 2) % n], axis=1)
    distances = np.tile(np.float32([0.0, 0.42]), (n, 1))
    rows[-1, 1], distances[-1, 1] = -1, np.inf
    return Found(recorded(positions, np.arange(n)), Neighbours(rows, distances), positions, str)


class _Page(HTMLParser):
    """Cells of the table, their titles, and everything that would be fetched."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[str] = []
        self.titles: list[str] = []
        self.attributes: set[str] = set()
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.titles += [value for name, value in attrs if name == "title"]
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("td", "th"):
            self.cells[-1] += data.strip("\n")


def test_the_page_is_one_file_in_which_text_is_only_text(tmp_path):
    draw_neighbours(found(), tmp_path / "a.b", "of <layer> 1")
    text = (tmp_path / "a.b.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert not {"b", "script", "link", "img"} & set(page.tags)
    assert not {"src", "href", "onload"} & page.attributes
    assert "http" not in text
    seen = ["<b>&", "$x_", TEXTS[2], "⏎", '" onload="', "␚"]
    rank_1, rank_2 = [*seen[1:], seen[0]], [*seen[2:], seen[0], ""]
    assert page.cells == ["", *seen, "1", *rank_1, "2", *rank_2]
    assert page.titles[0] == f'0.0000  <b>& [$x_]{TEXTS[2]}⏎" onload="␚'
    assert len(page.titles) == 11


def test_the_pictures_are_drawn_whatever_the_text(tmp_path, capfd):
    # Warnings are errors here: those of letters that the font lacks would be.
    png, svg, _ = draw_neighbours(found(), tmp_path / "n", "title $")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in svg.read_text(encoding="utf-8")
    first = svg.read_bytes()
    draw_neighbours(found(), tmp_path / "n", "title $")
    assert svg.read_bytes() == first
    assert capfd.readouterr().err == ""


def test_the_nearer_the_darker():
    assert longest_distance(found()) == 0.5
    shades = [grey(distance, 0.5) for distance in (0, 0.1, 0.2, 0.5, 0.6)]
    assert shades == sorted(shades)
    assert shades[0] < 0.25
    assert shades[-1] == shades[-2] == 1


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^cannot write \S*n.html: "):
        draw_neighbours(found(), Path(tmp_path / "file" / "n"), "title")
