"""Prometheus metrics of a worker. A worker has no port, so `MetricsPublisher` hands them to the API through Redis."""

import time
from collections.abc import Iterator
from typing import TypeVar

import torch
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from redis import Redis, RedisError

from core.broker.heartbeat import BEAT_SECONDS, publish_metrics
from core.recipe.learner import TrainingProgress
from core.runtime.background import BackgroundThread

T = TypeVar("T")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(namespace="genconvnet_worker", registry=REGISTRY)
JOBS_FINISHED = Counter(
    "genconvnet_jobs_finished_total", "Jobs that a worker finished.", ["kind", "outcome"], registry=REGISTRY
)
LEASES_LOST = Counter("genconvnet_leases_lost_total", "Jobs whose lease a worker lost.", registry=REGISTRY)
ITERATION_SECONDS = Histogram(
    "genconvnet_learning_iteration_seconds", "Duration of a learning iteration.", buckets=BUCKETS, registry=REGISTRY
)
CHAIN_STD_RATIO = Gauge(
    "genconvnet_chain_std_ratio",
    "Standard deviation of the chains over that of the pictures, at the last iteration.",
    registry=REGISTRY,
)
ACTIVE_RATIO = Gauge(
    "genconvnet_active_units_ratio", "Share of a layer's units active on the chains.", ["layer"], registry=REGISTRY
)
RECOVERIES = Gauge(
    "genconvnet_learning_recoveries", "How often the present training was rolled back.", registry=REGISTRY
)
DEVICE_MEMORY = Gauge(
    "genconvnet_device_memory_bytes", "GPU memory that the worker has reserved.", ["device"], registry=REGISTRY
)


def observe_durations(iterations: Iterator[T]) -> Iterator[T]:
    """Yield the items of `iterations`, and record how long each takes."""
    while True:
        began_at = time.perf_counter()
        try:
            item = next(iterations)
        except StopIteration:
            return
        ITERATION_SECONDS.observe(time.perf_counter() - began_at)
        yield item


def record_training(progress: TrainingProgress) -> None:
    """Set the gauges of learning to the values of the last iteration."""
    health = progress.health
    CHAIN_STD_RATIO.set(health.chain_std / health.data_std if health.data_std else float("nan"))
    RECOVERIES.set(progress.recoveries)
    for layer, share in enumerate(health.active_share, start=1):
        ACTIVE_RATIO.labels(layer).set(share)


class MetricsPublisher:
    """A thread that writes the metrics to Redis every BEAT_SECONDS, for the API's /metrics."""

    def __init__(self, redis: Redis, worker: str, device: torch.device) -> None:
        self._redis, self._worker, self._device = redis, worker, device
        expected = (RedisError, OSError)
        self._thread = BackgroundThread("metrics", self._publish, every_seconds=BEAT_SECONDS, expected=expected)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop(join_seconds=BEAT_SECONDS)

    def _publish(self) -> None:
        if self._device.type == "cuda":
            DEVICE_MEMORY.labels(str(self._device)).set(torch.cuda.memory_reserved(self._device))
        publish_metrics(self._redis, self._worker, generate_latest(REGISTRY).decode())
