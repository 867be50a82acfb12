"""Rigs for the tests that break the service: a whole one that they share, and their own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from chaos.rig import Rig


@pytest.fixture
def start_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """A function that starts a rig, given the parameters of Rig; all of them are stopped at the test's end."""
    started: list[Rig] = []

    def start(folder: Path = tmp_path, **parameters: object) -> Rig:
        started.append(Rig(folder / f"rig-{len(started)}", **parameters))
        started[-1].start()
        return started[-1]

    yield start
    for rig in started:
        rig.close()


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory, group_end: ExitStack) -> Rig:
    """A rig that tests use in turn; each leaves it ready."""
    shared = Rig(tmp_path_factory.mktemp("shared") / "rig")
    group_end.callback(shared.close)
    shared.start()
    return shared
