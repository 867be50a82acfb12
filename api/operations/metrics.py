"""The metrics at /metrics beyond those of requests: jobs, queues and bytes from the database, workers from the broker.

Database and broker are queried when Prometheus scrapes, at most once in `CACHE_SECONDS`. If one of them does not
answer, its metrics are missing, the others are returned, and `genconvnet_up` is 0 for it.
"""

import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from shutil import disk_usage
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from api.app_state import AppState
from api.files.disk_space import local_folders
from api.operations.timed_probes import Probes, TimedProbes
from core.broker.connection import connect
from core.broker.heartbeat import count_workers, read_metrics
from core.jobs.counts import JobCounts, count_jobs
from core.schemas.jobs import Queue
from core.storage.access import Access
from core.storage.deliveries import count_pending
from core.storage.quotas import stored_bytes
from core.version import VERSION

PROBE_SECONDS = 2.0
SOCKET_SECONDS = 1.5
CACHE_SECONDS = 1.0
PREFIX = "genconvnet_"  # of every metric name that is taken over from a worker


class ServiceMonitor:
    """Probes the database, the broker and the workers, with timeouts. Used by /readyz and /metrics."""

    def __init__(self, app_state: AppState) -> None:
        self.app_state = app_state
        self.probes = TimedProbes()
        self.redis = connect(app_state.settings.broker_url, SOCKET_SECONDS)
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self._query, app_state.settings.revision or "unknown"))
        self._lock = threading.Lock()
        self._text, self._generated_at = b"", float("-inf")

    def prometheus_text(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        with self._lock:
            if time.monotonic() - self._generated_at > CACHE_SECONDS:
                self._text, self._generated_at = generate_latest(self._registry), time.monotonic()
            return self._text

    def close(self) -> None:
        self.redis.close()

    def _query(self) -> dict[str, Any]:
        database = self.app_state.database.scoped_to(Access())
        probes: Probes = {
            "rows": lambda: count_jobs(database),
            "stored": lambda: stored_bytes(database),
            "backlog": lambda: count_pending(database),
            "disks": lambda: {name: disk_usage(folder).free for name, folder in local_folders(self.app_state).items()},
            "workers": lambda: {queue: count_workers(self.redis, queue) for queue in Queue},
            "samples": lambda: read_metrics(self.redis),
        }
        return self.probes.run(probes, PROBE_SECONDS)


class _Collector(Collector):
    def __init__(self, query: Callable[[], dict[str, Any]], revision: str) -> None:
        self._query, self._revision = query, revision

    def describe(self) -> Iterable[Metric]:
        return []  # else the registry would call `collect` on registration

    def collect(self) -> Iterator[Metric]:
        results = self._query()
        yield _build(self._revision)
        yield _up(results)
        if isinstance(results["rows"], JobCounts):
            yield from _job_metrics(results["rows"])
        if isinstance(results["stored"], dict):
            text = "Size of all files that rows name, without checkpoints."
            yield _gauge("genconvnet_stored_bytes", text, "kind", results["stored"])
        if isinstance(results["backlog"], int):
            yield GaugeMetricFamily("genconvnet_webhook_backlog", "Webhook messages to be sent.", results["backlog"])
        if isinstance(results["disks"], dict):
            text = "Free space on the disk of the local folder of the rows or files."
            yield _gauge("genconvnet_disk_free_bytes", text, "folder", results["disks"])
        if isinstance(results["workers"], dict):
            yield _gauge("genconvnet_workers", "Workers that listen to a queue.", "queue", results["workers"])
        if isinstance(results["samples"], dict):
            yield from _worker_metrics(results["samples"])


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """Return a gauge with a sample for each value, whose name is its label's value."""
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        gauge.add_metric([str(value)], number)
    return gauge


def _build(revision: str) -> Metric:
    labels = {"version": VERSION, "revision": revision, "python": platform.python_version()}
    build = GaugeMetricFamily("genconvnet_build_info", "Always 1: the release that answers.", labels=list(labels))
    build.add_metric(list(labels.values()), 1)
    return build


def _up(results: Mapping[str, Any]) -> Metric:
    up = GaugeMetricFamily("genconvnet_up", "1 if a part of the service answers, else 0.", labels=["part"])
    up.add_metric(["database"], not isinstance(results["rows"], Exception))
    up.add_metric(["broker"], not isinstance(results["workers"], Exception))
    return up


def _job_metrics(counts: JobCounts) -> Iterator[Metric]:
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
        "Seconds since the oldest waiting job was created; 0 if none waits.",
        labels=["queue"],
    )
    for queue, seconds in counts.oldest_seconds.items():
        oldest.add_metric([queue], seconds)
    yield from (jobs, depth, oldest)


def _worker_metrics(texts: Mapping[str, str]) -> Iterator[Metric]:
    """Merge what the workers have published, labelling each sample with its worker. Unreadable texts are skipped."""
    families: dict[str, Metric] = {}
    for worker, text in sorted(texts.items()):
        try:
            found = list(text_string_to_metric_families(text))
        except (ValueError, LookupError):  # the parser raises both
            continue
        for family in found:
            if family.name.startswith(PREFIX):
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    merged.add_sample(sample.name, {**sample.labels, "worker": worker}, sample.value)
    yield from families.values()
