"""Metrics of a worker, and how the API gets them."""

import math
import time
from collections.abc import Iterator

import pytest
import torch
from prometheus_client import CollectorRegistry
from redis import Redis
from support.waiting import until

from core.broker import heartbeat
from core.recipe.diagnosis import Health
from core.recipe.learner import TrainingProgress
from worker import metrics


def _value(name: str, **labels: str) -> float:
    found = metrics.REGISTRY.get_sample_value(name, labels)
    assert found is not None
    return found


def _progress(chain_std: float, data_std: float) -> TrainingProgress:
    health = Health(chain_std, data_std, (0.25, 0.5), (0.5, 0.5), 0.0)
    where = {"stage": 1, "stages": 1, "iteration": 3, "iterations": 9, "learning_rate": 0.1}
    return TrainingProgress(**where, health=health, recoveries=2, last_iteration=9, iterations_before=0)


def test_the_gauges_show_the_last_iteration() -> None:
    metrics.record_training(_progress(3.0, 4.0))
    assert _value("genconvnet_chain_std_ratio") == 0.75
    assert _value("genconvnet_learning_recoveries") == 2
    assert [_value("genconvnet_active_units_ratio", layer=layer) for layer in ("1", "2")] == [0.25, 0.5]
    metrics.record_training(_progress(3.0, 0.0))
    assert math.isnan(_value("genconvnet_chain_std_ratio")), "pictures of one colour have no deviation"


def test_each_iteration_is_observed_with_its_own_duration_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 2.0, 10.0, 13.0, 20.0))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    name = "genconvnet_learning_iteration_seconds"
    count, total = _value(f"{name}_count"), _value(f"{name}_sum")
    assert list(metrics.observe_durations(iter("ab"))) == ["a", "b"]
    assert _value(f"{name}_count") == count + 2
    assert _value(f"{name}_sum") == pytest.approx(total + 2.0 + 3.0), "not what was done between them"


def test_an_error_of_an_iteration_is_passed_on() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        list(metrics.observe_durations(breaks()))


def test_the_metrics_are_published_under_the_workers_name(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REGISTRY", CollectorRegistry())
    metrics.Counter("genconvnet_tests", "Of this test.", registry=metrics.REGISTRY).inc(7)
    publisher = metrics.MetricsPublisher(redis, "w", torch.device("cpu"))
    publisher.start()
    published = until(lambda: redis.get(f"{heartbeat.METRICS_PREFIX}w"))
    publisher.stop()
    assert b"genconvnet_tests_total 7.0" in published
