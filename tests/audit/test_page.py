"""The page of an audit: its words without a browser, and its filters, order and looks in one."""

import re
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.browser import DESK, PHONE, Tab, contrasts, in_browser
from helpers.cases import one_sentence
from PIL import Image

from robustdl_lib.audit import page as audit_page
from robustdl_lib.audit.page import AMBIGUOUS, FLAGS, OUTLIER, TWIN, WRONG

EVIL = '<script>alert("x")</script>'


def table() -> pd.DataFrame:
    """Return six suspects of three classes, one of an evil name."""
    rows = [
        (1, "a.png", "cat", "dog", 0.01, 0.02, 0.1, 0.95, WRONG, ""),
        (2, "b.png", EVIL, "cat", 0.02, 0.03, 0.2, 0.90, WRONG, ""),
        (3, f"{EVIL}&'.png", "dog", "cat", 0.30, 0.10, 0.6, 0.55, f"{WRONG}; {AMBIGUOUS}", ""),
        (4, "d.png", "dog", "dog", 0.20, 0.20, 0.9, 0.40, OUTLIER, ""),
        (5, "e.png", "dog", "dog", 0.80, 0.70, 0.3, 0.80, TWIN, "a.png, given cat"),
        (6, "f.png", "cat", "cat", 0.90, 0.80, 0.1, 0.90, TWIN, f"{EVIL}&'.png"),
    ]
    names = ["rank", "file", "given", "suggested", "p_y", "mean_p_y", "entropy", "max_p", "flags", "twin"]
    return pd.DataFrame(rows, columns=names)


def pictures(count: int = 6) -> list[bytes]:
    return [audit_page.png(np.full((1, 8, 8), 40 * index, dtype=np.uint8), 255.0) for index in range(count)]


COUNTS = {"examples": 60, "predicted": 30, WRONG: 3, OUTLIER: 1, AMBIGUOUS: 1, TWIN: 2}


def html(**changes: Any) -> str:
    words = {"counts": COUNTS, "remarks": ["Precision & recall."], **changes}
    return audit_page.page(f"Audit of {EVIL}", {"data": EVIL}, table(), pictures(), **words)


def test_names_from_the_data_are_escaped_everywhere() -> None:
    page = html()
    assert EVIL not in page
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in page
    assert "Precision &amp; recall." in page
    assert "{{" not in page


def test_the_page_names_no_other_place_and_forbids_itself_to() -> None:
    page = html()
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
    assert "default-src 'none'" in page


def test_every_picture_has_words_and_the_page_a_language() -> None:
    page = html()
    alts = re.findall(r'<img alt="([^"]*)"', page)
    assert len(alts) == 6
    assert alts[0] == "a.png, given cat, suggested dog"
    assert alts[3] == "d.png, given dog"
    assert '<html lang="en">' in page


def test_only_what_is_likely_wrong_stands_in_a_red_box() -> None:
    cards = re.findall(r'<li class="(\w+)" data-rank="(\d)"', html())
    assert [int(rank) for kind, rank in cards if kind == "wrong"] == [1, 2, 3]


def test_the_lead_counts_in_words() -> None:
    none = {"examples": 7, "predicted": 7, WRONG: 0, OUTLIER: 0, AMBIGUOUS: 0, TWIN: 0}
    assert audit_page.lead(none) == "Of 7 images, no labels are likely wrong."
    assert audit_page.lead(none | {WRONG: 1}) == "Of 7 images, 1 label is likely wrong."
    more = audit_page.lead(COUNTS)
    assert (
        more
        == "Of 60 images, 3 labels are likely wrong. Besides: 1 possible outlier, 1 ambiguous image, 2 near-duplicates."
    )


def test_networks_that_learnt_too_little_call_no_label_wrong() -> None:
    weak = audit_page.lead(COUNTS | {"predicted": 29})
    assert weak.startswith("The networks learnt too little to judge these 60 labels: they predicted only 48% of them")
    assert "wrong" not in weak
    assert escape(weak) in html(counts=COUNTS | {"predicted": 29})


def test_the_heading_says_when_not_all_are_shown() -> None:
    assert "<h2>Suspects</h2>" in html()
    assert "<h2>The first 3 of 40 likely wrong labels</h2>" in html(counts=COUNTS | {WRONG: 40})
    assert "but worth a look" in html(counts=COUNTS | {WRONG: 0})


def test_a_picture_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="5 for 6") as refusal:
        audit_page.page("x", {}, table(), pictures(5), counts=COUNTS)
    one_sentence(refusal.value)


def test_classes_are_in_the_order_of_readers() -> None:
    assert sorted(["10", "9", "a10", "a9", "b"], key=audit_page.natural) == ["9", "10", "a9", "a10", "b"]


def test_pictures_are_of_display_size(tmp_path: Path) -> None:
    for channels in (1, 3):
        (tmp_path / "p.png").write_bytes(audit_page.png(np.full((channels, 8, 8), 16, dtype=np.uint8), 16.0))
        with Image.open(tmp_path / "p.png") as image:
            assert image.size == (120, 120)
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    Image.new("RGBA", (1000, 500), (0, 0, 0, 0)).save(tmp_path / "big.png")
    (tmp_path / "small.png").write_bytes(audit_page.thumbnail(tmp_path / "big.png"))
    with Image.open(tmp_path / "small.png") as image:
        assert image.size == (120, 60)
        assert image.convert("RGB").getpixel((5, 5)) == (255, 255, 255)
    Image.new("I;16", (40, 40), 40_000).save(tmp_path / "deep.png")
    (tmp_path / "small.png").write_bytes(audit_page.thumbnail(tmp_path / "deep.png"))
    with Image.open(tmp_path / "small.png") as image:
        assert image.getpixel((5, 5)) == (155, 155, 155)  # 40,000 of 65,535, as the network sees it
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(OSError, match="cannot identify"):
        audit_page.thumbnail(tmp_path / "no.png")


class Page(Tab):
    """The page of an audit in a tab."""

    def shown(self) -> list[int]:
        return [int(card.get_attribute("data-rank")) for card in self.tab.locator("#grid > li:visible").all()]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "audit.html"
    path.write_text(html(), encoding="utf-8")
    return path


@in_browser
def test_in_a_browser_it_filters_and_sorts_and_asks_for_nothing(chromium: Any, path: Path) -> None:
    page = Page(chromium, path, DESK)
    assert page.shown() == [1, 2, 3, 4, 5, 6]
    page.tab.select_option("#class", label="dog")
    assert page.shown() == [3, 4, 5]
    assert page.tab.inner_text("#count") == "3 of 6 shown"
    page.tab.select_option("#flag", label=WRONG)
    assert page.shown() == [3]
    page.tab.select_option("#class", "")
    page.tab.select_option("#order", label="entropy, highest first")
    assert page.shown() == [3, 2, 1]
    page.tab.select_option("#flag", "")
    assert page.shown() == [4, 3, 5, 2, 1, 6]
    page.tab.select_option("#class", label=EVIL)
    assert page.shown() == [2]
    loaded = page.tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert loaded
    assert page.complaints == []
    assert page.requests == [path.as_uri()]


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_shows_it_without_scrolling_sideways(chromium: Any, path: Path, scheme: str) -> None:
    page = Page(chromium, path, PHONE, scheme)
    page.tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.shown() == [1, 2, 3, 4, 5, 6]
    assert page.complaints == []


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_have_the_contrast_that_wcag_asks_for(chromium: Any, path: Path, scheme: str) -> None:
    page = Page(chromium, path, DESK, scheme)
    found = contrasts(page.tab, "p, dt, dd, .tag, .given, .soft, label, h1, output, summary")
    assert len(found) > 40
    assert min(found) >= 4.5


def test_every_flag_has_a_place_on_the_page() -> None:
    page = html()
    assert all(f">{flag}</option>" in page for flag in FLAGS)
