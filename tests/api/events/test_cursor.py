"""Which events of a feed are sent to a client, from those sent before."""

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.sse import ServerSentEvent

from api.events.cursor import FeedCursor, Position
from core.broker.broadcaster import JobState, JobStates
from core.broker.events import BEGINNING, Event, EventName
from core.schemas.jobs import JobStatus

NOW = 1000.0


def _event(entry: str, name: EventName, job_id: str = "job_a", **data: Any) -> Event:
    return Event(entry, name, {"job_id": job_id, **data})


def _row(status: JobStatus, job_id: str = "job_a", **values: Any) -> JobState:
    about = {"owner": None, "attempt": 1, "error": None, "finished_at": NOW if status.final else None, **values}
    return JobState(job_id, status=status, **about)


def _rows(*states: JobState) -> JobStates:
    return JobStates(NOW, states)


def _statuses(found: Sequence[ServerSentEvent]) -> list[tuple[Any, Any]]:
    return [(one.data["job_id"], one.data["status"]) for one in found]


def test_the_id_of_an_event_names_its_position() -> None:
    assert Position.parse("5-0") == Position("5-0")
    assert Position.parse("5-0.7000.2") == Position("5-0", "7000")
    assert [Position.parse(text).time for text in ("5000-3", "5000-3.7000.1", "9000-0.7000.1")] == [5.0, 7.0, 9.0]


@pytest.mark.parametrize(
    "text", ["", "5", "5-", "-5", "5-0-0", "5-0.x.1", "5-0.7.1.1", "5-0.-7.1", f"{2**64}-0", "٥-0", "5-0." + "1" * 21]
)
def test_other_texts_are_no_ids(text: str) -> None:
    with pytest.raises(ValueError, match="is not the id of an event"):
        Position.parse(text)


def test_each_entry_is_sent_once_and_only_after_the_clients_last() -> None:
    cursor = FeedCursor(Position("5-0"))
    assert cursor.advance(_event("4-0", "status", status="queued")) == [], "the client has it"
    (sent,) = cursor.advance(_event("6-0", "status", status="running"))
    assert (sent.event, sent.id, sent.data["status"]) == ("status", "6-0", "running")
    assert cursor.advance(_event("6-0", "status", status="running")) == [], "read twice"
    assert cursor.position == Position("6-0")


def test_a_status_is_sent_again_only_if_it_changed_or_for_another_attempt() -> None:
    cursor = FeedCursor(Position())
    sent = [
        bool(cursor.advance(_event(f"{number}-0", name, **data)))
        for number, (name, data) in enumerate(
            [
                ("status", {"status": "queued"}),
                ("status", {"status": "queued"}),
                ("status", {"status": "running", "attempt": 1}),
                ("status", {"status": "running", "attempt": 2}),
                ("progress", {"iteration": 1}),
                ("done", {"status": "succeeded"}),
                ("progress", {"iteration": 2}),
                ("done", {"status": "succeeded"}),
                ("status", {"status": "queued"}),
                ("preview", {"step": 1}),
            ],
            start=1,
        )
    ]
    assert sent == [True, False, True, True, True, True, False, False, True, True]


def test_what_other_programs_write_is_not_sent() -> None:
    cursor = FeedCursor(Position())
    others = [Event("1-0", None, {"x": 1}), Event("2-0", "status", [1]), _event("3-0", "status", status="lost")]  # type: ignore[arg-type]
    assert [cursor.advance(one) for one in others] == [[], [], []]


def test_a_new_client_is_told_the_jobs_that_have_not_ended_and_the_latest_ends() -> None:
    cursor = FeedCursor(Position())
    cursor.begin("900000-0")
    rows = _rows(
        _row(JobStatus.RUNNING, "job_a", attempt=2),
        _row(JobStatus.FAILED, "job_b", error={"type": "diverged"}),
        _row(JobStatus.SUCCEEDED, "job_c", finished_at=10.0),
    )
    found = cursor.catch_up(rows, since=940.0, complete=False)
    assert [(one.event, one.data) for one in found] == [
        ("status", {"job_id": "job_a", "status": "running", "attempt": 2}),
        ("done", {"job_id": "job_b", "status": "failed", "error": {"type": "diverged"}}),
    ]
    assert [one.id for one in found] == ["0-0.940000.1", "0-0.1000000.2"], "only with the last it has all"
    assert cursor.position == Position("900000-0", "1000000")
    assert cursor.advance(_event("900000-0", "status", "job_a", status="running")) == [], "it began after this one"
    assert cursor.compare(rows) == cursor.compare(rows) == []


def test_a_client_that_missed_no_entry_is_told_of_no_job_that_has_not_ended() -> None:
    cursor = FeedCursor(Position("900000-0"))
    rows = _rows(_row(JobStatus.RUNNING, "job_a"), _row(JobStatus.CANCELED, "job_b"))
    assert _statuses(cursor.catch_up(rows, since=840.0, complete=True)) == [("job_b", "canceled")]
    assert cursor.position == Position("900000-0", "1000000")


def test_a_status_that_stays_unsent_for_two_checks_is_sent_from_the_row() -> None:
    cursor = FeedCursor(Position())
    rows = _rows(_row(JobStatus.QUEUED))
    assert cursor.compare(rows) == [], "its entry may be on its way"
    assert _statuses(cursor.compare(_rows(_row(JobStatus.RUNNING)))) == [], "this is another status"
    assert _statuses(cursor.compare(_rows(_row(JobStatus.RUNNING)))) == [("job_a", "running")]
    assert cursor.compare(_rows(_row(JobStatus.RUNNING))) == []
    cursor.compare(_rows(_row(JobStatus.SUCCEEDED)))
    (sent,) = cursor.advance(_event("5-0", "done", status="succeeded"))
    assert sent.event == "done"
    assert cursor.compare(_rows(_row(JobStatus.SUCCEEDED))) == [], "the entry came after all"


def test_jobs_that_ended_and_are_no_longer_read_are_forgotten() -> None:
    cursor = FeedCursor(Position())
    for number, job_id in enumerate(("job_a", "job_b"), start=1):
        cursor.advance(_event(f"{number}-0", "done", job_id, status="succeeded"))
    cursor.compare(_rows(_row(JobStatus.SUCCEEDED, "job_b")))
    assert cursor.advance(_event("3-0", "done", "job_b", status="succeeded")) == []
    assert len(cursor.advance(_event("4-0", "done", "job_a", status="succeeded"))) == 1


def test_after_the_broker_was_wiped_every_entry_is_sent_and_the_rows_until_then_are_known() -> None:
    cursor = FeedCursor(Position("900000-0", "950000"))
    assert cursor.advance(_event("1-0", "status", status="queued")) == []
    cursor.replay_all()
    assert cursor.position == Position(BEGINNING, "950000")
    assert len(cursor.advance(_event("2-0", "status", status="running"))) == 1
