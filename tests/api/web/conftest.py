"""A page of the service that tests share, and one learned texture, for all tests of the studio."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import BrowserContext, Page, ViewportSize
from support import browser
from support.pictures import stripes
from support.service import Service
from support.studio import Studio
from support.waiting import PATIENCE_SECONDS

VIEWPORT = ViewportSize(width=1280, height=900)


@pytest.fixture(scope="session")
def learned(studio_service: Service) -> dict:
    """A job that has learned a small texture."""
    dataset_id = studio_service.upload(stripes())
    return studio_service.succeeded(studio_service.train(dataset_id))


@pytest.fixture(scope="session")
def _window(group_end: ExitStack) -> BrowserContext:
    """A window, whose browser loads the files of the page once, and in which nothing moves for its own sake."""
    chromium = group_end.enter_context(browser.running())
    window = chromium.new_context(viewport=VIEWPORT, accept_downloads=True, reduced_motion="reduce")
    window.set_default_timeout(1000 * PATIENCE_SECONDS)
    return window


@pytest.fixture(scope="session")
def _page(_window: BrowserContext) -> Page:
    return _window.new_page()


@pytest.fixture
def own_page(_window: BrowserContext) -> Iterator[Page]:
    """A new page, for tests that add scripts to it, change its media, or count what it has shown."""
    page = _window.new_page()
    yield page
    page.close()


@pytest.fixture
def studio(studio_service: Service, request: pytest.FixtureRequest) -> Iterator[Studio]:
    """The service, and a page as of a visitor who kept nothing, in which no script may fail.

    Tests use a page in turn, unless they use `own_page`: a new one costs as much as a short test.
    """
    page: Page = request.getfixturevalue("own_page" if "own_page" in request.fixturenames else "_page")
    broken: list[str] = []

    def add(error: object) -> None:
        broken.append(str(error))

    before = page.context.pages
    opened = Studio(studio_service, page)
    opened.listen("pageerror", add)
    yield opened
    opened.forget()
    for one in page.context.pages:
        if one not in before:
            one.close()
    studio_service.end_all()
    opened.end_listening()
    page.unroute_all(behavior="ignoreErrors")
    if page.viewport_size != VIEWPORT:
        page.set_viewport_size(VIEWPORT)
    assert broken == []
