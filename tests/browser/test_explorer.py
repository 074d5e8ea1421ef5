# SPDX-License-Identifier: Apache-2.0
"""The explorer as people use it, in a browser."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.pages import NARROW, WIDE, at, choose, read, watched

pytestmark = [
    pytest.mark.browser,
    # What the driver of the browser leaves to be collected, and UMAP says in its thread.
    pytest.mark.filterwarnings("ignore"),
]

TEXT = "The turtle was slow. Then"


def shares(page) -> list[str]:
    """The probabilities of the comparison."""
    return at(page, "comparison").inner_text().splitlines()


def test_a_sentence_is_typed_chosen_compared_and_patched(browser, served, explorer):
    with watched(browser, served.address) as page:
        read(page, TEXT)
        choose(page, 2)
        assert at(page, "near").get_by_role("button", name="open").count() == 10
        assert "turtle"[:2] in at(page, "tokens").inner_text()
        at(page, "layer").select_option("1")
        page.wait_for_function("() => location.hash.includes('layer=1')")
        at(page, "near-0-patch").click()
        at(page, "edit-0").wait_for()
        at(page, "changed-0").wait_for()
        before = shares(page)

        address = page.url
        with watched(browser, address) as again:
            at(again, "edit-0").wait_for()
            at(again, "changed-0").wait_for()
            assert at(again, "sentence-input").input_value() == TEXT
            assert at(again, "layer").input_value() == "1"
            assert shares(again) == before
            assert again.url == address

        at(page, "edit-0-remove").click()
        at(page, "edit-0").wait_for(state="detached")


def test_a_neuron_is_looked_at_and_left_out(browser, served):
    with watched(browser, served.address) as page:
        read(page, TEXT)
        choose(page, 2)
        at(page, "gates").get_by_role("button").first.click()
        at(page, "ablate").click()
        at(page, "edit-0").wait_for()
        at(page, "changed-0").wait_for()
        at(page, "neuron-close").click()
        at(page, "ablate").wait_for(state="detached")


def test_back_goes_to_the_state_before(browser, served):
    with watched(browser, served.address) as page:
        read(page, TEXT)
        choose(page, 2)
        choose(page, 3)
        page.go_back()
        page.wait_for_function("() => location.hash.includes('at=2')")


def test_keys_choose_tokens_and_layers(browser, served):
    with watched(browser, served.address) as page:
        read(page, TEXT)
        choose(page, 2)
        page.keyboard.press("ArrowRight")
        page.wait_for_function("() => location.hash.includes('at=3')")
        layer = int(at(page, "layer").input_value())
        page.keyboard.press("ArrowUp" if layer == 0 else "ArrowDown")
        page.wait_for_function(
            "before => document.querySelector('[data-testid=layer]').value !== before",
            arg=str(layer),
        )
        page.keyboard.press("/")
        assert at(page, "sentence-input").evaluate("box => box === document.activeElement")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_nothing_scrolls_sideways(browser, served, width):
    with watched(browser, served.address, width=width) as page:
        read(page, TEXT)
        choose(page, 2)
        at(page, "gates").get_by_role("button").first.click()
        at(page, "ablate").click()
        at(page, "changed-0").wait_for()
        page.wait_for_timeout(500)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, served, scheme):
    with watched(browser, served.address, scheme=scheme) as page:
        read(page, TEXT)
        choose(page, 2)
        at(page, "gates").get_by_role("button").first.click()
        at(page, "ablate").click()
        at(page, "changed-0").wait_for()
        # Its script is let in by the test alone: the page's own policy would not.
        found = Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []


@pytest.mark.parametrize(
    "text",
    [
        '<img src=x onerror="window.hacked=1">',
        "<script>window.hacked=1</script>",
        "</textarea><svg onload='window.hacked=1'>",
        "\u202eevil &amp; javascript:window.hacked=1",
    ],
)
def test_text_is_only_ever_text(browser, served, text):
    with watched(browser, served.address) as page:
        read(page, text)
        choose(page, 1)
        page.wait_for_timeout(300)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img, [onerror], [onload]").count() == 0


@pytest.mark.parametrize(
    "hash_",
    [
        "#at=999&layer=99&channel=99&neuron=9.9.9&edit=x&text=The",
        "#%%%&at=-1&layer=1e9&story=-5",
        "#text=" + "a" * 30_000,
        "#edit=" + json.dumps({"kind": "patch"}),
    ],
)
def test_a_damaged_address_is_no_error(browser, served, hash_):
    with watched(browser, served.address + hash_) as page:
        at(page, "token-1").wait_for()
        at(page, "near-0").wait_for()


def test_a_story_is_opened_from_a_near_circuit(browser, served):
    with watched(browser, served.address) as page:
        read(page, TEXT)
        choose(page, 2)
        at(page, "near-0-open").click()
        page.wait_for_function("() => /story=\\d+/.test(location.hash)")
        number = re.search(r"story=(\d+)", page.url)
        assert number is not None
        at(page, "near-0").wait_for()


def test_without_the_token_there_is_no_page(browser, served):
    page = browser.new_page()
    answer = page.goto(served.address.partition("?")[0])
    assert answer.status == 403
    page.close()
