"""GET /v1/events as HTTP."""

import pytest
from support.http import Api, fields


def test_head_has_the_headers_of_the_stream_and_does_not_wait(api: Api) -> None:
    head = api.client.head("/v1/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    "after", ["x", "1", "1-", "-1", "1-2-3", f"{'9' * 20}-0", "1-1.x", "1-1.1.1.1", ".5-", "1" * 99]
)
def test_an_invalid_last_event_id_is_refused(api: Api, after: str) -> None:
    assert fields(api.client.get("/v1/events", headers={"Last-Event-ID": after})) == ["last-event-id"]
