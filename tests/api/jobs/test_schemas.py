"""Jobs as responses show them."""

from support import rows
from support.http import Api, training

from core.jobs import running


def test_a_job_says_where_it_would_continue(each_api: Api, each_dataset: str) -> None:
    posted = each_api.accepted(training(each_dataset))
    url = f"/v1/jobs/{posted['id']}"
    assert posted["continues_from"] == "start"
    assert each_api.client.post(f"{url}/cancel").json()["continues_from"] == "start"
    resumed = each_api.client.post(f"{url}/resume").json()
    assert (resumed["status"], resumed["continues_from"]) == ("queued", "start")
    running.checkpoint(each_api.database, rows.claim(each_api.database), each_api.blobs.put("c/1", b"abc"))
    assert each_api.client.post(f"{url}/cancel").json()["continues_from"] == "checkpoint"
    rows.alter(each_api.database, posted["id"], status="succeeded")
    assert each_api.client.get(url).json()["continues_from"] == "checkpoint"  # with more iterations
    rows.alter(each_api.database, posted["id"], checkpoint=None)
    assert each_api.client.get(url).json()["continues_from"] is None
