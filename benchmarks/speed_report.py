"""The report of speed.py: its tables in markdown, and a plot of time over chains and sizes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import markdown_table

FIGURES = (
    *("ratio_to_torchebm", "ratio_to_torchebm_in_float32", "ratio_to_loop", "ratio_to_loop_in_float32"),
    *("share_of_floor", "noise_share", "iteration_to_its_steps"),
)


def markdown(report: dict[str, Any]) -> str:
    """Return the figures of `speed.main` as text and tables."""
    step, size = report["step_seconds"], report["size"]
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in report["matrix_gflops"].items())
    graphs = " Steps are captured as CUDA graphs." if report["graphs"] else ""
    head = (
        f"{report['machine']}; torch {report['torch']}; `ours` computes in {report['precision']}.{graphs}\n"
        f"{report['chains']} chains of {size} x {size}: {report['gflop']:.1f} GFLOP a step. "
        f"Matrix rates, GFLOP/s: {rates}.\n"
    )
    parts = [
        head,
        *_jobs(report),
        markdown_table(
            ("implementation", "ms a step", "time over ours"),
            [(name, f"{1e3 * seconds:.2f}", f"{seconds / step['ours']:.2f}") for name, seconds in step.items()],
        ),
        markdown_table(
            ("what", "figure"), [(name, f"{report[name]:.3f}") for name in FIGURES if report[name] is not None]
        ),
        markdown_table(
            ("chains", "size", "implementation", "ms a step", "peak MiB"),
            [
                (row["chains"], row["size"], row["name"], f"{1e3 * row['seconds']:.1f}", f"{row['peak_mib']:.0f}")
                for row in report["growth"]
            ],
        ),
    ]
    if "in_full" in report:
        parts.append(in_full(report["in_full"]))
    return "\n".join(parts)


def in_full(full: dict[str, Any]) -> str:
    """Return the figures of the whole jobs."""
    paper, quick, canvas = full["experiment_1"], full["quick"], full["canvas"]
    health = "; ".join(paper["warnings"]) or "healthy"
    return (
        f"Experiment 1 in full: {paper['seconds']:.0f} s, {paper['peak_mib']:.0f} MiB at the peak, "
        f"{paper['recoveries']} recoveries, SWD ratio {paper['distance_ratio']:.2f}, {health}.\n"
        f"`quick` learned twice: {' and '.join(f'{one:.1f}' for one in quick['seconds'])} s, "
        f"{'the same chains' if quick['equal'] else 'DIFFERENT CHAINS'}.\n"
        f"A canvas of {canvas['side']} x {canvas['side']} in {canvas['steps']} steps: {canvas['seconds']:.1f} s, "
        f"{canvas['peak_mib']:.0f} MiB at the peak.\n"
        f"Profiles: {', '.join(full['profiles'])}.\n"
    )


def _jobs(report: dict[str, Any]) -> list[str]:
    """Return the tables of the jobs that people begin with."""
    rows = [
        (name, threads, way, f"{1e3 * seconds:.1f}", f"{seconds / job['seconds']['ours']:.2f}", _rate(job, way))
        for threads, jobs in report["jobs"].items()
        for name, job in jobs.items()
        for way, seconds in job["seconds"].items()
    ]
    canvas = report["canvas"]
    steps = [
        (way, f"{1e3 * seconds:.0f}", f"{seconds / canvas['seconds']['ours']:.2f}")
        for way, seconds in canvas["seconds"].items()
    ]
    tables = [
        markdown_table(("an iteration of", "threads", "implementation", "ms", "time over ours", "GFLOP/s"), rows),
        markdown_table((f"canvas of {canvas['side']} x {canvas['side']}", "ms a step", "time over ours"), steps),
    ]
    if "demo" in report:
        demo = [(phase, f"{seconds:.1f}") for phase, seconds in report["demo"].items()]
        tables.append(markdown_table(("phase of the demo", "seconds"), demo))
    return tables


def _rate(job: dict[str, Any], way: str) -> str:
    """Return the rate at which an iteration's operations of B and of the gradients are done."""
    return f"{job['gflop'] / job['seconds'][way]:,.0f}"


def plot(rows: Sequence[dict[str, Any]], names: Sequence[str], size: int, path: Path) -> None:
    """Plot the seconds of a step over the number of chains of `size` pixels, and over the size of one chain."""
    import matplotlib as mpl  # here, because it takes half a second and the tests import this module in each process

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, varied, fixed, value in zip(axes, ("chains", "size"), ("size", "chains"), (size, 1), strict=True):
        for name in names:
            points = sorted(
                (row[varied], row["seconds"]) for row in rows if row["name"] == name and row[fixed] == value
            )
            axis.loglog(*zip(*points, strict=True), marker="o", label=name)
        axis.set(xlabel=varied, ylabel="seconds a step")
        axis.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
