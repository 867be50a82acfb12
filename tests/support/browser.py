"""Chromium, as users have it."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright
from support.tools import require
from support.waiting import PATIENCE_SECONDS


@contextmanager
def running() -> Iterator[Browser]:
    """Yield a browser that runs during the block."""
    program = require("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(chromium: Browser) -> Iterator[Page]:
    """Yield an empty page of the browser, as of a new visitor."""
    page = chromium.new_page()
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    yield page
    page.close()
