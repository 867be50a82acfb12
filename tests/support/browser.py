"""Chromium as users have it: its headless shell if there is one, which opens a page with half of the work."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright
from support.tools import require
from support.waiting import PATIENCE_SECONDS

# A window's address bar would start a process for its suggestions, which costs more than the page. Only the last list
# of features counts, so it repeats Playwright's.
DISABLED_FEATURES = (
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)


@contextmanager
def running() -> Iterator[Browser]:
    """Yield a browser that runs during the block."""
    program = shutil.which("chromium-headless-shell") or require("chromium", "apt-get install chromium-headless-shell")
    with sync_playwright() as playwright:
        args = ["--no-sandbox", f"--disable-features={','.join(DISABLED_FEATURES)}"]
        browser = playwright.chromium.launch(executable_path=program, args=args)
        yield browser
        browser.close()


@contextmanager
def opened(chromium: Browser) -> Iterator[Page]:
    """Yield an empty page of the browser, as of a new visitor."""
    page = chromium.new_page()
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    yield page
    page.close()
