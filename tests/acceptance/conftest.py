"""Running services: one that the tests of this folder share, and others for those that stop theirs."""

from collections.abc import Callable, Iterator

import pytest
from support.service import Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that tests use in turn; each ends the jobs it began. No lease expires by itself while tests last."""
    settings = {"LEASE_SECONDS": "600", "NICENESS": "1", "WEBHOOKS_TO_PRIVATE_ADDRESSES": "true"}
    environment = {f"GENCONVNET_{name}": value for name, value in settings.items()}
    running = Service(tmp_path_factory.mktemp("service") / "data", **environment)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Service]]:
    """A function that starts a service, given the name of its data folder and its settings.

    Equal names in a module mean the same folder. All services are stopped at the module's end.
    """
    started: list[Service] = []
    folder = tmp_path_factory.mktemp("services")

    def start(name: str, **environment: str) -> Service:
        started.append(Service(folder / name, **environment))
        return started[-1]

    yield start
    for service in started:
        service.stop()
