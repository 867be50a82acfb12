"""What /metrics tells besides the requests: of jobs and queues by their rows, of the workers by what they leave.

Rows and broker are asked when Prometheus asks, at most once in `KEPT_SECONDS`. Where one of them does not answer, what
the other tells is told, and `genconvnet_up` says which it is.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from api.app_state import AppState
from api.timed_probes import TimedProbes
from core.broker.connection import connect
from core.broker.heartbeat import listening, samples
from core.jobs.counts import Counts, counted
from core.schemas.jobs import Queue
from core.storage.access import Access

ANSWER_SECONDS = 2.0  # for which an answer is waited for
SOCKET_SECONDS = 1.5
KEPT_SECONDS = 1.0
PREFIX = "genconvnet_"  # of every name that a worker may leave


class ServiceMonitor:
    """What the API asks of the other parts about themselves, by means that do not hang with them."""

    def __init__(self, app_state: AppState) -> None:
        self.app_state = app_state
        self.probes = TimedProbes()
        self.redis = connect(app_state.settings.broker_url, SOCKET_SECONDS)
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self._ask))
        self._lock = threading.Lock()
        self._text, self._told_at = b"", float("-inf")

    def exposition(self) -> bytes:
        """In the form that Prometheus reads."""
        with self._lock:
            if time.monotonic() - self._told_at > KEPT_SECONDS:
                self._text, self._told_at = generate_latest(self._registry), time.monotonic()
            return self._text

    def close(self) -> None:
        self.redis.close()

    def _ask(self) -> dict[str, Any]:
        database = self.app_state.database.scoped_to(Access())
        questions: dict[str, Callable[[], Any]] = {
            "rows": lambda: counted(database),
            "workers": lambda: {queue: listening(self.redis, queue) for queue in Queue},
            "samples": lambda: samples(self.redis),
        }
        return self.probes.run(questions, ANSWER_SECONDS)


class _Collector(Collector):
    def __init__(self, ask: Callable[[], dict[str, Any]]) -> None:
        self._ask = ask

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is asked before Prometheus asks

    def collect(self) -> Iterator[Metric]:
        answers = self._ask()
        yield _up(answers)
        if isinstance(answers["rows"], Counts):
            yield from _of_rows(answers["rows"])
        if isinstance(answers["workers"], dict):
            workers = GaugeMetricFamily("genconvnet_workers", "Workers that listen to a queue.", labels=["queue"])
            for queue, number in answers["workers"].items():
                workers.add_metric([queue.value], number)
            yield workers
        if isinstance(answers["samples"], dict):
            yield from _of_workers(answers["samples"])


def _up(answers: Mapping[str, Any]) -> Metric:
    up = GaugeMetricFamily("genconvnet_up", "Whether a part of the service answers.", labels=["part"])
    up.add_metric(["database"], not isinstance(answers["rows"], Exception))
    up.add_metric(["broker"], not isinstance(answers["workers"], Exception))
    return up


def _of_rows(counts: Counts) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("genconvnet_jobs", "Jobs by kind and status.", labels=["kind", "status"])
    for (kind, status), number in counts.jobs.items():
        jobs.add_metric([kind, status], number)
    depth = GaugeMetricFamily(
        "genconvnet_queue_depth", "Jobs and shards of jobs that wait in a queue.", labels=["queue", "kind"]
    )
    for (queue, kind), number in counts.depth.items():
        depth.add_metric([queue, kind], number)
    oldest = GaugeMetricFamily(
        "genconvnet_queue_oldest_seconds",
        "Since the oldest job that waits was posted; 0 where nothing waits.",
        labels=["queue"],
    )
    for queue, seconds in counts.oldest_seconds.items():
        oldest.add_metric([queue], seconds)
    yield from (jobs, depth, oldest)


def _of_workers(left: Mapping[str, str]) -> Iterator[Metric]:
    """What the workers left, each sample labelled by its worker; what cannot be read is passed over."""
    families: dict[str, Metric] = {}
    for worker, text in sorted(left.items()):
        try:
            found = list(text_string_to_metric_families(text))
        except (ValueError, LookupError):  # the parser's ways of refusing
            continue
        for family in found:
            if family.name.startswith(PREFIX):
                joined = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    joined.add_sample(sample.name, {**sample.labels, "worker": worker}, sample.value)
    yield from families.values()
