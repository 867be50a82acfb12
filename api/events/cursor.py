"""Decide which events of a feed are sent to a client, from those sent before. Uses no broker and no database."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi.sse import ServerSentEvent

from api.jobs.events import MAX_ID_PART, with_public_url
from core.broker import events
from core.broker.broadcaster import JobState, JobStates
from core.broker.events import BEGINNING, Event
from core.schemas.jobs import JobStatus

OVERLAP_SECONDS = 60.0  # before a client's last event, from when on its jobs are checked again


@dataclass(frozen=True)
class Position:
    """The position that an event's id encodes: the last entry of the feed that was sent, and how far rows were sent.

    rows_until: the time as of which the statuses in the rows were sent, milliseconds since 1970; empty if none were.
    """

    entry: str = BEGINNING
    rows_until: str = ""

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that an event's id names. Raises ValueError if it is not such an id."""
        entry, rows_until, number, *more = (*text.split("."), "", "")
        parts = (*entry.split("-"), *(part for part in (rows_until, number) if part))
        digits = all(part.isascii() and part.isdigit() and len(part) <= 20 for part in parts)
        if entry.count("-") != 1 or any(more) or not digits or any(int(part) > MAX_ID_PART for part in parts):
            raise ValueError("is not the id of an event")
        return cls(entry, rows_until)

    @property
    def time(self) -> float:
        """Until when the client knows of everything, in seconds since 1970."""
        return max(int(self.entry.partition("-")[0]), int(self.rows_until or 0)) / 1000


class FeedCursor:
    """The position of one client's stream; it decides which events are sent and sends none twice."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self._read = BEGINNING  # id of the last entry that was read, which may be one that the client has
        self._sent: dict[str, str] = {}  # the last status sent, by job
        self._differing: dict[str, str] = {}  # statuses of rows that were unsent at the last check

    def begin(self, newest: str) -> None:
        """Begin after the entry `newest`, for a client that names no event."""
        self._read = newest

    def replay_all(self) -> None:
        """Send every entry again: the broker was wiped since, so no id can be compared with the client's."""
        self.position = Position(BEGINNING, self.position.rows_until)

    def advance(self, item: Event) -> list[ServerSentEvent]:
        """Return the event to send for an entry of the feed, if any."""
        if not events.is_later(item.id, self._read):
            return []
        self._read = item.id
        new = self._remember(item)
        if not events.is_later(item.id, self.position.entry):
            return []
        self.position = Position(item.id)
        return [ServerSentEvent(event=item.name, id=item.id, data=with_public_url(item.data))] if new else []

    def _remember(self, item: Event) -> bool:
        """Record the status in an event. Return False if it was sent before, or if the event is not of this service."""
        job_id = item.data.get("job_id") if isinstance(item.data, dict) else None
        if not isinstance(job_id, str):  # another program wrote it
            return False
        sent = self._sent.get(job_id)
        if item.name in ("progress", "preview"):  # a shard may not know yet that another has failed
            return sent is None or not JobStatus(sent).final
        status = item.data.get("status")
        if status not in set(JobStatus) or (status == sent and "attempt" not in item.data):
            return False
        self._sent[job_id] = str(status)
        self._differing.pop(job_id, None)
        return True

    def catch_up(self, rows: JobStates, since: float, complete: bool) -> list[ServerSentEvent]:
        """Return an event for each row whose status has not been sent.

        since: jobs that ended before are known to the client. complete: no entry was lost since the client's last, so
        it also knows the jobs that have not ended.
        """
        due = []
        for row in rows.states:
            known = complete if row.finished_at is None else row.finished_at < since
            if known:
                self._sent.setdefault(row.job_id, row.status)
            elif self._sent.get(row.job_id) != row.status:
                due.append(row)
        if self.position.entry == BEGINNING:  # a client that is cut off before the last of `due` gets all of it again
            self.position = Position(BEGINNING, _milliseconds(since))
        found = self._events_of(due, rows.at)
        if self.position.entry == BEGINNING:
            # Entries that came while the rows were read are later than `since`, and still to be sent.
            entry = self._read if self._read != BEGINNING else f"{_milliseconds(since)}-0"
            self.position = Position(entry, self.position.rows_until)
        return found

    def compare(self, rows: JobStates) -> list[ServerSentEvent]:
        """Return an event for each row whose status is unsent since before the last check: entries take a moment."""
        differing = {row.job_id: row for row in rows.states if self._sent.get(row.job_id) != row.status}
        due = [row for row in differing.values() if self._differing.get(row.job_id) == row.status]
        self._differing = {row.job_id: row.status for row in differing.values()}
        present = {row.job_id for row in rows.states}
        forgotten = [one for one, sent in self._sent.items() if JobStatus(sent).final and one not in present]
        for job_id in forgotten:
            del self._sent[job_id]
        return self._events_of(due, rows.at)

    def _events_of(self, due: Sequence[JobState], at: float) -> list[ServerSentEvent]:
        """Return an event for each row. Only the last one's id has `at` as its `rows_until`."""
        found = []
        for number, row in enumerate(due, start=1):
            if number == len(due):
                self.position = Position(self.position.entry, _milliseconds(at))
            self._sent[row.job_id] = row.status
            self._differing.pop(row.job_id, None)
            id_ = f"{self.position.entry}.{self.position.rows_until}.{number}"
            found.append(ServerSentEvent(event="done" if row.status.final else "status", id=id_, data=_data(row)))
        return found


def _data(row: JobState) -> dict[str, object]:
    data: dict[str, object] = {"job_id": row.job_id, "status": row.status.value}
    if row.status == JobStatus.RUNNING:
        data["attempt"] = row.attempt
    return data | ({"error": row.error} if row.error and row.status.final else {})


def _milliseconds(seconds: float) -> str:
    return str(max(int(seconds * 1000), 0))
