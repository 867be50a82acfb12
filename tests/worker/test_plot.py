"""The plot of a training job's metrics (worker/plot.py)."""

from collections.abc import Iterator

import matplotlib
import pytest
from support.pictures import decoded

from worker.plot import plot_metrics


@pytest.fixture(autouse=True)
def _with_labels() -> Iterator[None]:
    """Plot as users see it, not as `support/matplotlibrc` has it."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def point(step: int, *active_share: float, stage: int = 1) -> dict[str, object]:
    return {
        "step": step,
        "stage": stage,
        "chain_std": 40.0,
        "data_std": 50.0,
        "active_share": active_share,
        "score_difference": -3.0,
    }


def test_layers_that_grow_later_and_an_empty_series_are_plotted() -> None:
    for points in ([point(1, 0.5), point(2, 0.5, 0.25)], []):
        content, size = plot_metrics(points)
        assert decoded(content).size == size == (900, 600)
    assert plot_metrics([point(1, 0.5), point(2, 0.5)])[0] != plot_metrics([point(1, 0.5), point(2, 0.25)])[0]


def test_a_line_shows_where_a_stage_begins() -> None:
    one, two = ([point(1, 0.5), point(2, 0.5), point(3, 0.5, stage=stage)] for stage in (1, 2))
    assert plot_metrics(one)[0] != plot_metrics(two)[0]
