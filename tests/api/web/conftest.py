"""A page of the service that tests share, and one learned texture, for all tests of the studio."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext
from support.pictures import stripes
from support.service import Service
from support.studio import Studio
from support.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="session")
def learned(service: Service) -> dict:
    """A job that has learned a small texture."""
    dataset_id = service.upload(stripes())
    return service.succeeded(service.train(dataset_id))


@pytest.fixture(scope="module")
def _window(chromium: Browser) -> Iterator[BrowserContext]:
    """A window, whose browser loads the files of the page once, and in which nothing moves for its own sake."""
    window = chromium.new_context(
        viewport={"width": 1280, "height": 900}, accept_downloads=True, reduced_motion="reduce"
    )
    window.set_default_timeout(1000 * PATIENCE_SECONDS)
    yield window
    window.close()


@pytest.fixture
def studio(service: Service, _window: BrowserContext) -> Iterator[Studio]:
    """The service, and an empty page, as of a visitor who kept no cookies, in which no script may fail."""
    broken: list[str] = []
    page = _window.new_page()
    page.on("pageerror", lambda error: broken.append(str(error)))
    opened = Studio(service, page)
    yield opened
    opened.forget()
    for one in _window.pages:
        one.close()
    for job in service.unfinished():
        service.cancel(job["id"])
    assert broken == []
