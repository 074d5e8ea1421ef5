# SPDX-License-Identifier: Apache-2.0
"""Times the explorer's answers over a record, and takes pictures of its page for the docs.

    sgatlin circuits record runs/tinystories/sgatlin-0 --tokens 200000 --replace
    python -m benchmarks.explorer --run runs/tinystories/sgatlin-0 --pictures docs/explorer

Pictures need Chromium and the package playwright, which the development environment has.
"""

import contextlib
import dataclasses
import json
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import tyro
import uvicorn

from sgatlin.circuits.labels import read_classes
from sgatlin.circuits.notebook import Circuits
from sgatlin.cli import run_command
from sgatlin.errors import UserError
from sgatlin.explore import requests as ask
from sgatlin.explore.explorer import Explorer
from sgatlin.explore.serve import listening, own_names
from sgatlin.explore.server import Access, make_app

WIDTH, NARROW, HEIGHT = 1280, 390, 900
_WHOLE = 3600
"""A window that shows all of the page."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    run: Path
    """A run directory with a record in RUN/circuits."""
    text: str = "Once upon a time, there was a little girl named Lily. She liked to wear a red"
    """The sentence that is looked at."""
    position: int = 19
    """Its token."""
    layer: int = 2
    repeats: int = 20
    """Of each question, whose median is told."""
    pictures: Path | None = None
    """Folder for pictures of the page; none are taken without."""


def main(arguments: Arguments) -> None:
    explorer = Explorer(Circuits.open(arguments.run), read_classes("lexicon"))
    explorer.warm_up()
    print(f"{explorer.model.name}: {len(explorer.index.positions):,} recorded positions")
    of = ask.Typed(text=arguments.text)
    for name, question in _questions(explorer, of, arguments).items():
        print(f"{name:30} {_median_ms(question, arguments.repeats):6.0f} ms")
    if arguments.pictures is not None:
        explorer.maps.wait(arguments.layer)
        with _served(explorer) as address:
            _take_pictures(address, arguments)


def _questions(
    explorer: Explorer, of: ask.Typed, arguments: Arguments
) -> dict[str, Callable[[int], Any]]:
    """What is timed; each is asked with a number that makes it another question every time."""
    at, layer = arguments.position, arguments.layer
    n_neurons = explorer.model.layer.n_neurons

    def near(n: int, channel: int | None = None) -> Any:
        request = ask.NearRequest(of=of, position=1 + n % at, layer=layer, channel=channel)
        return explorer.near(request)

    def changed(n: int) -> Any:
        edit = {"kind": "patch", "to": at, "from": {"row": n}}
        body = {"of": {"text": arguments.text}, "position": at, "edits": [edit]}
        return explorer.changed(ask.ChangedRequest.model_validate_json(json.dumps(body)))

    return {
        "neighbours, all channels": near,
        "neighbours, one channel": lambda n: near(n, 0),
        "prediction after a patch": changed,
        "a new sentence": lambda n: explorer.text(
            ask.TextRequest(of=ask.Typed(text=f"{arguments.text} {n}"))
        ),
        "contributions to logits": lambda n: explorer.logits(
            ask.PositionRequest(of=of, position=1 + n % at)
        ),
        "a neuron": lambda n: explorer.neuron(
            ask.NeuronRequest(layer=layer, channel=0, neuron=n % n_neurons)
        ),
    }


def _median_ms(question: Callable[[int], Any], repeats: int) -> float:
    question(repeats)  # compiled, if it is not yet
    times = []
    for n in range(repeats):
        start = time.perf_counter()
        question(n)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


@contextlib.contextmanager
def _served(explorer: Explorer) -> Iterator[str]:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        app = make_app(explorer, Access("pictures", own_names("127.0.0.1", port)))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/?token=pictures"
        finally:
            server.should_exit = True
            thread.join()


def _take_pictures(address: str, arguments: Arguments) -> None:
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        raise UserError("pictures need Chromium, and none is installed")
    assert arguments.pictures is not None
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    state = {"text": arguments.text, "at": arguments.position, "layer": arguments.layer}
    switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=switches)
        page = browser.new_page(viewport={"width": WIDTH, "height": _WHOLE})
        page.goto(f"{address}#{urlencode(state)}")
        page.get_by_test_id("near-0").wait_for()
        page.get_by_test_id("top-neurons").get_by_role("button").first.click()
        page.get_by_test_id("neuron-close").wait_for()
        page.get_by_test_id("ablate").click()
        page.get_by_test_id("near-0-patch").click()
        page.get_by_test_id("changed-0").wait_for()
        page.locator("[data-testid=map] svg").first.wait_for()
        page.wait_for_timeout(500)
        for name, panels in {
            "sentence": ("sentence", "tokens", "gates"),
            "logits": ("logits",),
            "near": ("near", "map"),
            "changes": ("neuron", "changes"),
        }.items():
            _around(page, panels, arguments.pictures / f"{name}.png")
        page.set_viewport_size({"width": NARROW, "height": HEIGHT})
        page.emulate_media(color_scheme="dark")
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(500)
        page.screenshot(path=arguments.pictures / "narrow.png")
        browser.close()


def _around(page: Any, panels: tuple[str, ...], file: Path) -> None:
    """A picture of the panels, which stand one below the other."""
    boxes = [page.get_by_test_id(name).bounding_box() for name in panels]
    left, top = (min(box[side] for box in boxes) for side in ("x", "y"))
    clip = {
        "x": left,
        "y": top,
        "width": max(box["x"] + box["width"] for box in boxes) - left,
        "height": max(box["y"] + box["height"] for box in boxes) - top,
    }
    page.screenshot(path=file, clip=clip)
    print(file)


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Arguments, description=__doc__)))
