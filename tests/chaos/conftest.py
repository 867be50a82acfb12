"""A service in parts for the tests that break them one by one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chaos.rig import Rig


@pytest.fixture
def start_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Start one, with `database_url` and GENCONVNET_ variables; it is stopped at the test's end."""
    started: list[Rig] = []

    def start(database_url: str | None = None, folder: Path = tmp_path, **environment: str) -> Rig:
        started.append(Rig(folder / f"rig-{len(started)}", database_url, **environment))
        started[-1].start()
        return started[-1]

    yield start
    for rig in started:
        rig.close()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One that the tests of a module use in turn; each leaves it whole."""
    shared = Rig(tmp_path_factory.mktemp("shared") / "rig")
    shared.start()
    yield shared
    shared.close()
