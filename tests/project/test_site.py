"""The built site: every link and anchor alive, formulas rendered, nothing asked of another place, readable everywhere.

It is built once for all tests, in some half a minute of one core; the pages are then opened one after the other.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from bs4 import BeautifulSoup
from helpers.browser import DESK, Tab, in_browser

from book import pieces
from robustdl_lib.files import locked

ROOT = Path(__file__).parents[2]
PHONE = {"width": 390, "height": 844}
PARTS = 4
"""Into so many tests the walk through all pages is parted, for they run beside each other."""
LOOKED_AT = [
    *("index", "tutorial", "explorer", "rows", "glossary", "bibliography", "commands", "search"),
    *("notebooks/04_example_weighting", "notebooks/17_errata", "figures/index", "figures/quick/learning_curves"),
    *("reference/index", "reference/methods.losses", "docs/METHODS", "benchmarks/README"),
]
TEXT = "h1, h2, h3, p, li, td, th, dt, dd, a, code, figcaption, .card span"
CONTRAST = """selector => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0.5) return c; } return [255, 255, 255, 1]; };
  const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  return [...document.querySelector('article').querySelectorAll(selector)]
    .filter(e => own(e) && e.checkVisibility() && !e.matches('.headerlink'))
    .map(e => { const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), e.tagName + ' ' + e.textContent.trim().slice(0, 40)]; })
    .sort((x, y) => x[0] - y[0]);
}"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from what is committed, once for all processes that test."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base if alone else base.parent) / "site" / "book"
    folder.parent.mkdir(exist_ok=True)
    with locked(folder.parent / "lock"):
        if not (folder.parent / "whole").exists():
            command = [sys.executable, "-m", "book", "--into", str(folder)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
            assert done.returncode == 0, done.stderr + done.stdout
            (folder.parent / "whole").touch()
    return folder


@cache
def parsed(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(path: Path) -> frozenset[str]:
    return frozenset(str(tag["id"]) for tag in parsed(path).find_all(id=True))


def pages(site: Path) -> list[Path]:
    """Return the pages that Sphinx wrote: those in _static, and the explorer's own, have tests of their own."""
    shown = site / "docs" / "explorer.html"
    return sorted(p for p in site.rglob("*.html") if p.relative_to(site).parts[0] != "_static" and p != shown)


def served(path: Path) -> bool:
    return path.is_file() or (path / "index.html").is_file()


def test_every_link_and_anchor_is_alive(site: Path) -> None:
    dead = []
    for page in pages(site):
        for tag in parsed(page).find_all(["a", "img", "link", "script", "iframe", "source"]):
            address, anchor = urldefrag(str(tag.get("href") or tag.get("src") or ""))
            if re.match(r"[a-z]+:", address):
                continue
            target = (page.parent / unquote(address.partition("?")[0])).resolve() if address else page
            if not served(target) or (anchor and target.suffix == ".html" and unquote(anchor) not in anchors(target)):
                dead.append(f"{page.relative_to(site)}: {address}#{anchor}")
    assert dead == []


def test_no_page_loads_anything_from_another_place(site: Path) -> None:
    outer = re.compile(r"^(https?:)?//")
    for page in pages(site):
        for tag in parsed(page).find_all(["img", "link", "script", "iframe", "source", "video", "object"]):
            assert not outer.match(str(tag.get("src") or tag.get("href") or tag.get("data") or "")), (page, tag)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"(]*(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_every_committed_page_and_figure_is_on_the_site(site: Path) -> None:
    built = {path.relative_to(site).with_suffix("").as_posix() for path in pages(site)}
    wanted = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    wanted |= {f"docs/{path.stem}" for path in (ROOT / "docs").glob("[A-Z]*.md")}
    figures = (path.relative_to(ROOT / "figures/reference") for path in (ROOT / "figures/reference").glob("*/*.png"))
    wanted |= {f"figures/{path.with_suffix('').as_posix()}" for path in figures}
    wanted |= {f"reference/{name}" for name in pieces.modules()}
    wanted |= {f"notebooks/solutions/{path.stem}" for path in (ROOT / "notebooks" / "solutions").glob("*.ipynb")}
    assert wanted | set(LOOKED_AT) <= built
    titles = [link.get_text() for link in parsed(site / "index.html").select(".sidebar-tree a")]
    numbers = [title[:2] for title in titles if re.match(r"\d\d ", title)]
    course = sorted(path.name[:2] for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    assert numbers == [*course, *course]  # the notebooks, then the solutions


def test_no_notebook_has_lost_an_output(site: Path) -> None:
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        shown = parsed(site / "notebooks" / f"{path.stem}.html")
        assert len(shown.select("div.cell_input")) == len(cells)
        assert len(shown.select("div.cell_output")) == sum(bool(cell.outputs) for cell in cells)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *words: Any) -> None:
        return


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """The address of a server of the site on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def settled(tab: Any) -> None:
    """Wait until the formulas of a page are set."""
    tab.evaluate("async () => { if (window.MathJax?.startup) await MathJax.startup.promise; }")


def faults(tab: Any) -> list[str]:
    """Return what is wrong with a page as a reader sees it: formulas that are no formulas, a page that is too wide."""
    settled(tab)
    seen = tab.evaluate(
        """() => {
          const copy = document.querySelector('article').cloneNode(true);
          copy.querySelectorAll('pre, code, .sig, script, style, mjx-container').forEach(e => e.remove());
          const sources = [...document.querySelectorAll('span.math, div.math')];
          return {unset: sources.filter(e => !e.querySelector('mjx-container')).length,
            raw: /\\$\\$|\\\\\\(|\\\\\\[|\\$[^$\\d\\s][^$]*\\$/.exec(copy.textContent)?.[0] ?? '',
            errors: document.querySelectorAll('mjx-merror, [data-mml-node=merror]').length,
            wide: document.documentElement.scrollWidth - innerWidth,
            pictures: [...document.images].filter(i => i.complete && i.loading !== 'lazy' && !i.naturalWidth).length};
        }"""
    )
    return [f"{name}: {value}" for name, value in seen.items() if (value > 0 if name != "raw" else value)]


@in_browser
@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_on_a_phone_is_whole_and_complains_of_nothing(
    chromium: Any, site: Path, address: str, part: int
) -> None:
    names = [path.relative_to(site).as_posix() for path in pages(site)][part::PARTS]
    tab = Tab(chromium, f"{address}/{names[0]}", PHONE)
    found = {}
    for name in names:
        tab.tab.goto(f"{address}/{name}")
        if wrong := [*faults(tab.tab), *tab.complaints]:
            found[name] = wrong
        tab.complaints.clear()
    foreign = {url for url in tab.requests if not url.startswith((address, "data:", "blob:"))}
    tab.context.close()
    assert found == {}
    assert foreign == set()


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(chromium: Any, site: Path, address: str, scheme: str) -> None:
    tab = Tab(chromium, f"{address}/index.html", DESK, scheme)
    faint = {}
    for name in LOOKED_AT:
        tab.tab.goto(f"{address}/{name}.html")
        settled(tab.tab)
        if low := [item for item in tab.tab.evaluate(CONTRAST, TEXT) if item[0] < 4.5]:
            faint[name] = low[:3]
    ground = tab.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.context.close()
    assert faint == {}
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 600) == (scheme == "light")


@in_browser
@pytest.mark.parametrize(
    "name", ["index", "notebooks/04_example_weighting", "figures/index", "reference/methods.losses"]
)
def test_a_page_works_from_its_folder_and_fits_a_desk(chromium: Any, site: Path, name: str) -> None:
    tab = Tab(chromium, site / f"{name}.html", DESK)
    wrong = [*faults(tab.tab), *tab.complaints]
    asked = {url for url in tab.requests if not url.startswith(site.as_uri())}
    tab.context.close()
    assert wrong == []
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == set()


@in_browser
@pytest.mark.parametrize("where", ["folder", "server"])
def test_the_explorer_answers_inside_the_site(chromium: Any, site: Path, address: str, where: str) -> None:
    tab = Tab(chromium, site / "explorer.html" if where == "folder" else f"{address}/explorer.html", DESK)
    frame = tab.tab.frame_locator("iframe.whole")
    shown = frame.locator("#table tbody tr", has_text="DM")
    first = shown.inner_text()
    frame.locator('input[type=range][id="dm.beta"]').fill("20")
    second = shown.inner_text()
    tab.context.close()
    assert first != second
    assert "20" in second
    assert tab.complaints == []


@in_browser
def test_the_search_finds_a_method_without_a_server(chromium: Any, site: Path) -> None:
    tab = Tab(chromium, site / "index.html", DESK)
    tab.tab.goto(f"{(site / 'search.html').as_uri()}?q=proselflc")
    hit = tab.tab.locator("ul.search li a").first
    hit.wait_for()
    where = hit.get_attribute("href")
    tab.context.close()
    assert where
    assert tab.complaints == []
