"""One service and one learned texture for all tests of the studio."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
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


@pytest.fixture
def studio(_studio_service: Service, chromium: Browser) -> Iterator[Studio]:
    """The service, and an empty page of a window of its own, in which no script may fail."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    broken: list[str] = []
    page: Page = context.new_page()
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield Studio(_studio_service, page)
    context.close()
    for job in _studio_service.unfinished():
        _studio_service.cancel(job["id"])
    assert broken == []
