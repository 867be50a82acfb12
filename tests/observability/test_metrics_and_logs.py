"""The metrics and the log of a service at work."""

import json
import re
from pathlib import Path
from typing import Any

from observability.conftest import SECRET, ServiceRecord
from prometheus_client.parser import text_string_to_metric_families
from support.client import TINY

from core.version import VERSION

DOCS = Path(__file__).parents[2] / "docs"


def _values(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = frozenset((name, value) for name, value in sample.labels.items() if name != "worker")
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def _of(values: Any, name: str, **labels: str) -> float:
    return values[name][frozenset(labels.items())]


def test_metrics_count_jobs_queues_and_workers(record: ServiceRecord) -> None:
    values = _values(record.metrics)
    assert _of(values, "genconvnet_jobs", kind="train", status="succeeded") == 1
    assert _of(values, "genconvnet_jobs", kind="sample", status="succeeded") == 1
    assert _of(values, "genconvnet_jobs", kind="classify", status="failed") == 0
    assert _of(values, "genconvnet_queue_depth", queue="train", kind="train") == 0
    assert _of(values, "genconvnet_queue_oldest_seconds", queue="sample") == 0
    assert _of(values, "genconvnet_workers", queue="train") == _of(values, "genconvnet_workers", queue="sample") == 1
    assert _of(values, "genconvnet_up", part="database") == _of(values, "genconvnet_up", part="broker") == 1


def test_metrics_tell_the_build_and_what_is_stored(record: ServiceRecord) -> None:
    values = _values(record.metrics)
    ((labels, value),) = values["genconvnet_build_info"].items()
    assert (dict(labels)["version"], value) == (VERSION, 1)
    files = [one for job in (record.trained, record.sampled) for one in job["artifacts"]] + record.previews
    results = sum(one["bytes"] for one in files)
    assert _of(values, "genconvnet_stored_bytes", kind="results") == results
    assert _of(values, "genconvnet_stored_bytes", kind="datasets") > 0
    assert _of(values, "genconvnet_stored_bytes", kind="models") > 0
    for folder in ("rows", "files"):
        assert _of(values, "genconvnet_disk_free_bytes", folder=folder) > 1e6
    assert _of(values, "genconvnet_webhook_backlog") == 0


def test_metrics_of_workers_are_published_by_the_api(record: ServiceRecord) -> None:
    values = _values(record.metrics)
    assert _of(values, "genconvnet_jobs_finished_total", kind="train", outcome="succeeded") == 1
    assert _of(values, "genconvnet_jobs_finished_total", kind="sample", outcome="succeeded") == 1
    assert _of(values, "genconvnet_leases_lost_total") == 0
    workers = set(re.findall(r'genconvnet_leases_lost_total\{worker="(\w+)@', record.metrics))
    assert workers == {"train", "sample"}
    trains = [line for line in record.metrics.splitlines() if 'worker="train@' in line]
    of_train = _values("\n".join(trains))
    assert sum(of_train["genconvnet_learning_iteration_seconds_count"].values()) == TINY["iterations"]
    health = record.trained["metrics"]
    ratio = health["chain_std"] / health["data_std"]
    assert 0.3 * ratio < _of(of_train, "genconvnet_chain_std_ratio") < 3 * ratio
    assert 0 <= _of(of_train, "genconvnet_active_units_ratio", layer="1") <= 1
    assert _of(of_train, "genconvnet_learning_recoveries") == health["recoveries"]
    assert _of(of_train, "genconvnet_worker_process_resident_memory_bytes") > 1e7


def test_metrics_keep_to_the_conventions_of_prometheus(record: ServiceRecord) -> None:
    ours = [f for f in text_string_to_metric_families(record.metrics) if f.name.startswith("genconvnet_")]
    assert len({family.name for family in ours}) == len(ours) > 10
    for family in ours:
        assert family.documentation, family.name
        assert family.type in ("gauge", "counter", "histogram"), family.name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb)$", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family.name
        seen = [(sample.name, frozenset(sample.labels.items())) for sample in family.samples]
        assert len(seen) == len(set(seen)), family.name


def test_the_dashboard_and_the_operators_table_name_metrics_that_exist(record: ServiceRecord) -> None:
    exposed = {sample.name for family in text_string_to_metric_families(record.metrics) for sample in family.samples}
    only_on_a_gpu = {"genconvnet_device_memory_bytes"}
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for expression in expressions for name in re.findall(r"\b(?:genconvnet|http)_\w+", expression)}
    assert used - exposed == only_on_a_gpu
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    table = set(re.findall(r"genconvnet_\w+", (DOCS / "operations.md").read_text()))
    ours = {name for name in exposed if name.startswith("genconvnet_")}
    missing = {re.sub(r"_(count|sum|bucket)$", "", name) for name in ours} - table
    assert {name for name in missing if not name.startswith("genconvnet_worker_process_")} == set()


def test_every_log_line_is_json(record: ServiceRecord) -> None:
    assert record.lines
    for line in record.log:
        assert {"event", "level", "timestamp"} <= set(line), line
    assert {"worker_stops", "stopping"} <= {line["event"] for line in record.log}


def test_log_lines_of_a_job_have_its_id_and_the_request_id(record: ServiceRecord) -> None:
    for kind, job in (("train", record.trained), ("sample", record.sampled)):
        lines = [line for line in record.log if line["event"] in ("job_begins", "job_succeeded")]
        lines = [line for line in lines if line["job_id"] == job["id"]]
        assert [line["event"] for line in lines] == ["job_begins", "job_succeeded"]
        assert {line["request_id"] for line in lines} == {record.headers[kind]["x-request-id"]}
        assert 0 < lines[-1]["seconds"] < 600


def test_every_request_is_logged_once_without_its_query(record: ServiceRecord) -> None:
    lines = [line for line in record.log if line["event"] == "request"]
    training = [line for line in lines if line["request_id"] == "the-training"]
    assert [(line["method"], line["path"], line["status"]) for line in training] == [("POST", "/v1/jobs", 202)]
    assert training[0]["seconds"] >= 0
    assert [line["status"] for line in lines if line["path"] == "/v1/jobs/none"] == [404]
    jobs = [line["status"] for line in lines if (line["method"], line["path"]) == ("POST", "/v1/jobs")]
    assert jobs == [202, 202, 422]
    assert {line["client"] for line in lines} == {"::1"}
    assert SECRET not in "\n".join(record.lines)


def test_a_service_starts_behind_proxies_on_ipv6_and_leaves_nothing_in_the_temporary_folder(
    record: ServiceRecord,
) -> None:
    assert record.url.startswith("http://[::1]:")
    during, after = record.temporary
    assert len(during) == 1, "the socket's folder"
    assert after == []


def test_lines_that_libraries_write_are_logged_as_json_with_the_request_that_they_are_about(
    record: ServiceRecord,
) -> None:
    lines = [line for line in record.log if line["event"] == "output"]
    (about_picture, *_) = [line for line in lines if line["process"] == "decoder"]
    assert "not yet in table" in about_picture["text"]
    assert (about_picture["request_id"], about_picture["file"]) == ("the-picture", "damaged.tif")
    assert "broker" in {line["process"] for line in lines}, "Valkey says when it stops"


def test_a_misspelt_setting_is_named_once_at_the_start(record: ServiceRecord) -> None:
    (line,) = [line for line in record.log if line["event"] == "unknown_variable"]
    assert (line["name"], line["did_you_mean"]) == ("GENCONVNET_LEASE_SECOND", "GENCONVNET_LEASE_SECONDS")
