"""The page of the report: verdicts in words and colour, sources linked, and its looks in a browser."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.browser import DESK, Tab, contrasts, in_browser
from helpers.report_lines import synthetic

from robustdl_lib.report import page as report_page
from robustdl_lib.report import report, verdicts

PHONE = {"width": 390, "height": 800}
EVIL = '<script>alert("x")</script>'
VERDICTS = [*verdicts.GOOD, *verdicts.BAD, *verdicts.OPEN]


def lines() -> pd.DataFrame:
    """Return a line a verdict, one of another machine's and one of an evil name."""
    rows = [synthetic(id=word, verdict=word, claim=f"Claim of {word}") for word in VERDICTS]
    rows.append(synthetic(id="here", verdict=verdicts.HOLDS, verdict_here=verdicts.FAILS, here=-1.0))
    linked = {"url": "https://arxiv.org/abs/1905.11233", "source": "DM, Table 7"}
    rows.append(synthetic(id="evil", claim=EVIL, note=EVIL, group=EVIL, **linked))
    rows.append(synthetic(id="number", part="number", unit="%", reference=float("nan"), verdict=verdicts.NO_RUN))
    return pd.concat(rows, ignore_index=True)


def html(rows: pd.DataFrame | None = None) -> str:
    rows = lines() if rows is None else rows
    return report_page.page(rows, parts=report.PARTS, lead=report.lead(rows), facts={"profile": EVIL})


def test_every_verdict_is_in_words_and_in_its_colour() -> None:
    page = html()
    for word in VERDICTS:
        kind = "good" if word in verdicts.GOOD else "bad" if word in verdicts.BAD else "(unsure|open)"
        assert re.search(rf'<span class="tag {kind}">{word}</span>', page), word
    assert '<span class="tag bad">here: does not hold</span>' in page
    assert "Red lines: 3." in page


def test_names_are_escaped_and_sources_linked() -> None:
    page = html()
    assert EVIL not in page
    assert page.count("<script>") == 1
    assert '<a href="https://arxiv.org/abs/1905.11233">DM, Table 7</a>' in page
    assert "{{" not in page


def test_the_page_loads_nothing() -> None:
    page = html()
    assert "default-src 'none'" in page
    assert set(re.findall(r'(?:src|href)="(https?://[^/"]+)', page)) == {"https://arxiv.org"}
    assert not re.search(r"@import|url\(", page)


def test_what_was_not_run_is_a_dash_and_an_empty_part_says_so() -> None:
    page = html()
    assert '<td class="number none" data-label="ours">-</td>' in page
    assert page.count("No rows lie there.") == 2


class Page(Tab):
    """The report in a tab."""

    def shown(self) -> int:
        return int(self.tab.evaluate("document.querySelectorAll('tbody tr:not([hidden])').length"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "whole.html"
    path.write_text(html(report.assemble("quick", "reference")), encoding="utf-8")
    return path


@in_browser
def test_in_a_browser_it_filters_by_verdict_and_asks_for_nothing(chromium: Any, path: Path) -> None:
    page = Page(chromium, path, DESK)
    assert page.shown() == len(lines())
    page.tab.select_option("#kind", "bad")
    assert page.shown() == 3
    assert page.tab.inner_text("#count") == "3 of 11 lines"
    assert page.tab.locator("details:visible").count() == 1
    page.tab.select_option("#kind", "")
    assert page.shown() == len(lines())
    assert page.complaints == []
    assert page.requests == [path.as_uri()]


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_shows_all_of_it_without_scrolling_sideways(chromium: Any, whole: Path, scheme: str) -> None:
    page = Page(chromium, whole, PHONE, scheme)
    page.tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390
    cut = "e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1"
    assert page.tab.evaluate(f"[...document.querySelectorAll('td, th, summary')].filter({cut}).length") == 0
    assert page.shown() >= 260
    assert page.complaints == []


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_have_the_contrast_that_wcag_asks_for(chromium: Any, path: Path, scheme: str) -> None:
    page = Page(chromium, path, DESK, scheme)
    found = contrasts(page.tab, "p, dt, dd, .tag, .soft, label, h1, h2, th, td, a, output")
    assert len(found) > 80
    assert min(found) >= 4.5
