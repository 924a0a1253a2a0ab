"""What the tests in a browser share: where it is, how it is started, and a page in a tab without a network."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("background-networking", "component-update", "sync")
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # without it the browser looks up its maker's hosts
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", ALONE, *(f"--disable-{name}" for name in QUIET)]
WHY = "no Chromium found, so no test in a browser ran: apt-get install chromium (or google-chrome)"
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 740}


def in_browser(test: Any) -> Any:
    """Keep a test where there is a browser; where there is none, one skipped test speaks for all of them."""
    return test if BROWSER else None


@contextmanager
def started() -> Iterator[Any]:
    """A headless browser without a network, started and closed here."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS, timeout=60_000)
        yield browser
        browser.close()


class Tab:
    """A page in a tab, from a file without a network or from an address of the loopback: what it asked for and said."""

    def __init__(self, browser: Any, path: Path | str, size: dict[str, int], scheme: str = "light") -> None:
        self.context = browser.new_context(viewport=size, color_scheme=scheme, offline=isinstance(path, Path))
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.url = path.as_uri() if isinstance(path, Path) else path
        self.tab.goto(self.url)


def contrasts(tab: Any, selector: str) -> list[float]:
    """Return the contrast (WCAG 2, from 1 to 21) of each element's words with the ground that they stand on."""
    colours = tab.evaluate(
        """selector => [...document.querySelectorAll(selector)].map(e => {
            let ground = e; const bare = c => c === 'rgba(0, 0, 0, 0)';
            while (ground && bare(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
            return [getComputedStyle(e).color, getComputedStyle(ground || document.body).backgroundColor];
        })""",
        selector,
    )
    pairs = [sorted(map(_luminance, pair)) for pair in colours]
    return [(high + 0.05) / (low + 0.05) for low, high in pairs]


def _luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
