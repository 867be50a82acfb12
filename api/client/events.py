"""Streams of events that go on after the last event if the connection breaks."""

from api.client.answers import parse_event
from api.client.data import Event
from api.client.errors import NoAnswer
from api.client.sans_io import Emit, Emits, Request, next_event, open_events, sleep

RECONNECT_SECONDS = 1.0


def follow(url: str, after: str | None, *, until_done: bool) -> Emits[Event]:
    """Emit the events of a stream after the one with the id `after`, or all.

    until_done: the service ends the stream after a last event `done`; otherwise it never ends by itself.
    """
    ended = False
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        stream = yield from open_events(Request("GET", url, headers=headers))
        if stream is None:
            return
        try:
            while (received := (yield from next_event(stream))) is not None:
                if not received.data:  # the comment by which the service shows that it is alive
                    continue
                after = received.id or after
                ended = until_done and received.event == "done"
                yield Emit(parse_event(received))
        except NoAnswer:
            ended = False  # opening it again waits for the service, and raises if it does not come back
        if ended:
            return
        yield from sleep(RECONNECT_SECONDS)
