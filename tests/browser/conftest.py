# SPDX-License-Identifier: Apache-2.0
"""The explorer's page in a headless Chromium, on the toy run."""

import dataclasses
import shutil
from collections.abc import Iterator

import pytest

from sgatlin.circuits.labels import read_classes
from sgatlin.circuits.notebook import Circuits
from sgatlin.explore.explorer import Explorer
from sgatlin.train.loop import Trainer, TrainOptions
from tests.explore.serving import Served, serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# No sandbox: tests may run as root. The others keep it from asking anything of any network.
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator["object"]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def explorer(toy, tmp_path_factory) -> Explorer:
    """Of a model with room for a sentence: the toy's own context has 16 tokens."""
    config = dataclasses.replace(toy, data=dataclasses.replace(toy.data, seq_len=64))
    run = tmp_path_factory.mktemp("explore") / "run"
    Trainer(config, run, TrainOptions()).train()
    circuits = Circuits.open(run)
    circuits.make_record(tokens=1500)
    explorer = Explorer(circuits, read_classes("lexicon"))
    for layer in range(explorer.model.n_layers):
        explorer.maps.wait(layer)
    return explorer


@pytest.fixture(scope="session")
def served(explorer) -> Iterator[Served]:
    with serving(explorer) as served:
        yield served
