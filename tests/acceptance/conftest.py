"""Services for the tests that stop theirs; the others share `service` of the whole suite."""

from collections.abc import Callable, Iterator

import pytest
from support.service import Service


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
