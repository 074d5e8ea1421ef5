# SPDX-License-Identifier: Apache-2.0
"""A page that is watched: what it says in the console, and what it asks for."""

import contextlib
from collections.abc import Iterator
from typing import Any

WIDE, NARROW = 1280, 390


@contextlib.contextmanager
def watched(
    browser: Any, address: str, *, width: int = WIDE, scheme: str = "light"
) -> Iterator[Any]:
    """Opens an address; at the end the page has said nothing and asked nobody else."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    own = address.partition("?")[0].partition("#")[0]
    said, asked = [], []
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(address)
        yield page
        assert said == []
        assert [url for url in asked if not url.startswith((own, "data:", "blob:"))] == []
    finally:
        context.close()


def at(page: Any, name: str) -> Any:
    """What a test id names."""
    return page.get_by_test_id(name)


def read(page: Any, text: str) -> None:
    """Types a sentence, and waits for its tokens."""
    at(page, "sentence-input").fill(text)
    at(page, "read").click()
    page.wait_for_function("text => location.hash.includes(new URLSearchParams({text}))", arg=text)
    at(page, "token-1").wait_for()


def choose(page: Any, position: int) -> None:
    """Chooses a token, and waits until it is looked at."""
    at(page, f"token-{position}").click()
    page.wait_for_function("at => location.hash.includes(`at=${at}`)", arg=position)
    at(page, "near-0").wait_for()
