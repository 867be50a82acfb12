"""What a service that works says of itself: to Prometheus, and in its log."""

import re
from typing import Any

from acceptance.conftest import TINY
from observability.conftest import SECRET, Watched
from prometheus_client.parser import text_string_to_metric_families


def _values(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = frozenset((name, value) for name, value in sample.labels.items() if name != "worker")
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def _of(values: Any, name: str, **labels: str) -> float:
    return values[name][frozenset(labels.items())]


def test_metrics_tell_of_jobs_queues_and_workers(watched: Watched) -> None:
    values = _values(watched.metrics)
    assert _of(values, "genconvnet_jobs", kind="train", status="succeeded") == 1
    assert _of(values, "genconvnet_jobs", kind="sample", status="succeeded") == 1
    assert _of(values, "genconvnet_jobs", kind="classify", status="failed") == 0
    assert _of(values, "genconvnet_queue_depth", queue="train", kind="train") == 0
    assert _of(values, "genconvnet_queue_oldest_seconds", queue="sample") == 0
    assert _of(values, "genconvnet_workers", queue="train") == _of(values, "genconvnet_workers", queue="sample") == 1
    assert _of(values, "genconvnet_up", part="database") == _of(values, "genconvnet_up", part="broker") == 1


def test_workers_tell_of_themselves_without_a_port(watched: Watched) -> None:
    values = _values(watched.metrics)
    assert _of(values, "genconvnet_jobs_finished_total", kind="train", outcome="succeeded") == 1
    assert _of(values, "genconvnet_jobs_finished_total", kind="sample", outcome="succeeded") == 1
    assert _of(values, "genconvnet_leases_lost_total") == 0
    workers = set(re.findall(r'genconvnet_leases_lost_total\{worker="(\w+)@', watched.metrics))
    assert workers == {"train", "sample"}
    trains = [line for line in watched.metrics.splitlines() if 'worker="train@' in line]
    of_train = _values("\n".join(trains))
    assert sum(of_train["genconvnet_learning_iteration_seconds_count"].values()) == TINY["iterations"]
    health = watched.trained["metrics"]
    ratio = health["chain_std"] / health["data_std"]
    assert 0.3 * ratio < _of(of_train, "genconvnet_chain_std_ratio") < 3 * ratio
    assert 0 <= _of(of_train, "genconvnet_active_units_ratio", layer="1") <= 1
    assert _of(of_train, "genconvnet_learning_recoveries") == health["recoveries"]
    assert _of(of_train, "genconvnet_worker_process_resident_memory_bytes") > 1e7


def test_metrics_keep_to_the_customs_of_prometheus(watched: Watched) -> None:
    ours = [f for f in text_string_to_metric_families(watched.metrics) if f.name.startswith("genconvnet_")]
    assert len({family.name for family in ours}) == len(ours) > 10
    for family in ours:
        assert family.documentation, family.name
        assert family.type in ("gauge", "counter", "histogram"), family.name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb)$", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family.name
        seen = [(sample.name, frozenset(sample.labels.items())) for sample in family.samples]
        assert len(seen) == len(set(seen)), family.name


def test_every_line_of_the_log_is_json(watched: Watched) -> None:
    for line in watched.logged:
        assert {"event", "level", "timestamp"} <= set(line), line
    assert {"worker_stops", "stopping"} <= {line["event"] for line in watched.logged}


def test_a_jobs_lines_bear_its_id_and_that_of_the_request(watched: Watched) -> None:
    for kind, job in (("train", watched.trained), ("sample", watched.sampled)):
        lines = [line for line in watched.logged if line["event"] in ("job_begins", "job_succeeded")]
        lines = [line for line in lines if line["job_id"] == job["id"]]
        assert [line["event"] for line in lines] == ["job_begins", "job_succeeded"]
        assert {line["request_id"] for line in lines} == {watched.posted[kind]["x-request-id"]}


def test_every_request_is_one_line_without_its_query(watched: Watched) -> None:
    lines = [line for line in watched.logged if line["event"] == "request"]
    training = [line for line in lines if line["request_id"] == "the-training"]
    assert [(line["method"], line["path"], line["status"]) for line in training] == [("POST", "/v1/jobs", 202)]
    assert training[0]["seconds"] >= 0
    assert [line["status"] for line in lines if line["path"] == "/v1/jobs/none"] == [404]
    assert [line["status"] for line in lines if line["method"] == "POST"].count(422) == 1
    assert SECRET not in "\n".join(watched.lines)
