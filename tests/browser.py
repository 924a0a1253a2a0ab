"""What the tests in a browser share: where it is, how it is started, and a page in a tab without a network."""

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
