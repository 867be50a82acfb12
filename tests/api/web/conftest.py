"""One service and one learned texture for all tests of the studio."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext
from support.pictures import stripes
from support.service import Service
from support.studio import Studio
from support.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="session")
def _studio_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"LEASE_SECONDS": "600", "PREVIEW_SECONDS": "0.5", "HEARTBEAT_SECONDS": "0.2"}
    environment = {f"GENCONVNET_{name}": value for name, value in settings.items()}
    running = Service(tmp_path_factory.mktemp("studio") / "data", **environment)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def learned(_studio_service: Service) -> dict:
    """A job that has learned a small texture."""
    dataset_id = _studio_service.upload(stripes())
    return _studio_service.succeeded(_studio_service.train(dataset_id))


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
def studio(_studio_service: Service, _window: BrowserContext) -> Iterator[Studio]:
    """The service, and an empty page, as of a visitor who kept no cookies, in which no script may fail."""
    broken: list[str] = []
    page = _window.new_page()
    page.on("pageerror", lambda error: broken.append(str(error)))
    opened = Studio(_studio_service, page)
    yield opened
    opened.forget()
    for one in _window.pages:
        one.close()
    for job in _studio_service.unfinished():
        _studio_service.cancel(job["id"])
    assert broken == []
