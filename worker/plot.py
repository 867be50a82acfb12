"""The curves of learning, as a picture."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.figure import Figure

WIDTH, HEIGHT, DOTS_PER_INCH = 9.0, 6.0, 100


def plot_metrics(series: Sequence[Mapping[str, Any]]) -> tuple[bytes, tuple[int, int]]:
    """The metrics of a training job -> a PNG and its (width, height)."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS_PER_INCH, layout="constrained")
    spread, active, score = figure.subplots(3, 1, sharex=True)
    steps = [point["step"] for point in series]
    spread.plot(steps, [point["chain_std"] for point in series], label="chains")
    spread.plot(steps, [point["data_std"] for point in series], "--", label="training pictures")
    spread.set_ylabel("std, grey levels")
    spread.legend(loc="lower right", fontsize=8)
    for layer in range(max((len(point["active_share"]) for point in series), default=0)):
        shown = [point for point in series if len(point["active_share"]) > layer]
        active.plot(
            [point["step"] for point in shown],
            [point["active_share"][layer] for point in shown],
            label=f"layer {layer + 1}",
        )
    active.set_ylim(0, 1)
    active.set_ylabel("units active")
    if series:
        active.legend(loc="lower right", fontsize=8)
    score.plot(steps, [point["score_difference"] for point in series], linewidth=0.8)
    score.set_yscale("symlog")
    score.set_ylabel("f(real) - f(chains)")
    score.set_xlabel("iteration")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue(), (round(WIDTH * DOTS_PER_INCH), round(HEIGHT * DOTS_PER_INCH))
