# SPDX-License-Identifier: Apache-2.0
"""A report opens from disk, offline, and shows what the explorer shows."""

import pytest

from sgatlin.explore.report import ReportOptions, report_page
from tests.browser.pages import NARROW, WIDE, at, watched

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def file(explorer, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    options = ReportOptions(sequences=explorer.evenly_spaced(2), tokens=8)
    path.write_text(report_page(explorer, options), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_it_is_looked_at_from_disk(browser, explorer, file, width):
    with watched(browser, file.as_uri(), width=width) as page:
        page.context.set_offline(True)
        at(page, "token-3").click()
        at(page, "near-0").wait_for()
        at(page, "next-0").wait_for()
        at(page, "gates").get_by_role("button").first.click()
        at(page, "neuron-close").wait_for()
        assert at(page, "read").count() == 0
        assert at(page, "changes").count() == 0
        at(page, "layer").select_option("1")
        at(page, "channel").select_option(index=1)
        at(page, "near-0").wait_for()
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_the_other_story_is_chosen(browser, explorer, file):
    with watched(browser, file.as_uri()) as page:
        at(page, "token-1").wait_for()
        first = at(page, "tokens").inner_text()
        at(page, "story").select_option(index=1)
        page.wait_for_function(
            "before => document.querySelector('[data-testid=tokens]').innerText !== before",
            arg=first,
        )
