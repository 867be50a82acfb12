import time

import pytest
from support.http import Api
from support.valkey import Valkey

from api.operations import metrics
from core.broker.heartbeat import publish_metrics


def test_metrics_label_requests_by_their_route(api: Api) -> None:
    api.client.get("/v1/jobs/no-such-job")
    exposed = api.client.get("/metrics").text
    assert 'handler="/v1/jobs/{job_id}"' in exposed
    assert "no-such-job" not in exposed


@pytest.mark.parametrize(
    "published",
    ["genconvnet_x{", "\x00\xff", "# TYPE genconvnet_x nonsense\ngenconvnet_x 1\n", 'genconvnet_x{a="b} 1', "{} 1"],
)
def test_invalid_metrics_of_a_worker_are_skipped(api: Api, valkey: Valkey, published: str) -> None:
    good = "# HELP genconvnet_y_total Y.\n# TYPE genconvnet_y_total counter\ngenconvnet_y_total 3.0\n"
    with valkey.client() as redis:
        publish_metrics(redis, "bad", published)
        publish_metrics(redis, "good", good)
        publish_metrics(redis, "other", good.replace("genconvnet", "others"))
    time.sleep(metrics.CACHE_SECONDS + 0.1)
    exposed = api.client.get("/metrics").raise_for_status().text
    assert 'genconvnet_y_total{worker="good"} 3.0' in exposed
    assert "others_y" not in exposed
