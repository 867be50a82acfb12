"""Plot the metrics of a training job over its iterations."""

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT, DOTS_PER_INCH = 9.0, 6.0, 100
# Shares of the figure. To let matplotlib find them would take longer than to draw.
MARGINS = {"left": 0.1, "right": 0.98, "bottom": 0.09, "top": 0.97, "hspace": 0.1}

Points = Sequence[Mapping[str, Any]]


def plot_metrics(points: Points) -> tuple[bytes, tuple[int, int]]:
    """Return a PNG of a training job's metrics, and its (width, height)."""
    from matplotlib.figure import Figure  # here, because it takes half a second and most processes never plot

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS_PER_INCH)
    figure.subplots_adjust(**MARGINS)
    std_axes, active_axes, score_axes = figure.subplots(3, 1, sharex=True)
    _plot_std(std_axes, points)
    _plot_active_share(active_axes, points)
    _plot_score_difference(score_axes, points)
    for axes in (std_axes, active_axes, score_axes):
        _mark_stages(axes, points)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue(), (round(WIDTH * DOTS_PER_INCH), round(HEIGHT * DOTS_PER_INCH))


def _plot_std(axes: "Axes", points: Points) -> None:
    steps = _values(points, "step")
    axes.plot(steps, _values(points, "chain_std"), label="chains")
    axes.plot(steps, _values(points, "data_std"), "--", label="training pictures")
    axes.set_ylabel("std, grey levels")
    axes.legend(loc="lower right", fontsize=8)


def _plot_active_share(axes: "Axes", points: Points) -> None:
    for layer in range(max((len(point["active_share"]) for point in points), default=0)):
        grown = [point for point in points if len(point["active_share"]) > layer]
        shares = [point["active_share"][layer] for point in grown]
        axes.plot(_values(grown, "step"), shares, label=f"layer {layer + 1}")
    axes.set_ylim(0, 1)
    axes.set_ylabel("units active")
    if points:
        axes.legend(loc="lower right", fontsize=8)


def _plot_score_difference(axes: "Axes", points: Points) -> None:
    axes.plot(_values(points, "step"), _values(points, "score_difference"), linewidth=0.8)
    axes.set_yscale("symlog")
    axes.set_ylabel("f(real) - f(chains)")
    axes.set_xlabel("iteration, counted over all stages")


def _mark_stages(axes: "Axes", points: Points) -> None:
    """Draw a dotted line where each stage after the first begins."""
    for before, point in pairwise(points):
        if point["stage"] != before["stage"]:
            axes.axvline(point["step"], color="grey", linestyle=":", linewidth=0.8)


def _values(points: Points, name: str) -> list[Any]:
    return [point[name] for point in points]
