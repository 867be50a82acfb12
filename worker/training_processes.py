"""The processes that learn one training job together, if its parameters ask for several."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from core.engine import Engine, choose_engine
from core.engine.distributed import distributed_engine
from core.engine.ranks import ProcessLost
from core.schemas.learning import LearningParams
from core.theory.learning import precision_of
from worker.device import other_devices
from worker.job_context import JobContext

LOST = "process-lost"
_LEFT = "processes_left"


@dataclass(frozen=True)
class TrainingProcesses:
    """The engine of `count` processes; None for the learner's own, in this process. warnings: for the job's owner."""

    engine: Engine | None = None
    count: int = 1
    warnings: tuple[str, ...] = ()


@contextmanager
def training_processes(context: JobContext, params: LearningParams) -> Iterator[TrainingProcesses]:
    """Start the processes that `params` ask for, or fewer if the worker has fewer GPUs or threads, or lost one before.

    They end with the context. Their engine raises ProcessLost if one is lost.
    """
    if params.processes == 1:
        yield TrainingProcesses()
        return
    last_error = context.lease.last_error or {}
    wanted = min(params.processes, last_error.get(_LEFT, params.processes))
    engine = choose_engine(precision_of(params), context.device)
    with (
        other_devices(context.device, context.settings, wanted - 1) as others,
        distributed_engine(
            engine,
            [context.device, *others],
            check_interrupt=context.renewer.check_canceled,
            stall_seconds=context.settings.stall_seconds,
        ) as distributed,
    ):
        reasons = []
        if wanted < params.processes:
            reasons.append(f"in the attempt before, {last_error['detail']}")
        if len(others) < wanted - 1:
            unit = "processor thread" if context.device.type == "cpu" else "GPU"
            reasons.append(f"the worker has {1 + len(others)} {unit}{'s' if others else ''}")
        if distributed.size < 1 + len(others):
            reasons.append("the others did not start")
        with context.divided_among(distributed.size):
            yield TrainingProcesses(distributed, distributed.size, _warnings(distributed.size, params, reasons))


def reason_of(error: ProcessLost) -> dict[str, Any]:
    """Return why an attempt is abandoned; the next one reads from it how many processes are left."""
    return {"type": LOST, "detail": str(error), _LEFT: error.left}


def _warnings(count: int, params: LearningParams, reasons: list[str]) -> tuple[str, ...]:
    if not reasons:
        return ()
    return (
        f"learned by {count} {'process' if count == 1 else 'processes'} of {params.processes}: {'; '.join(reasons)}",
    )
