"""What a program without a structured log writes, as lines of the log."""

import io

from structlog.testing import capture_logs
from support.waiting import until

from api.embedded.broker import SYSTEM_ADVICE
from core.runtime.logs import log_lines

OVERCOMMIT = "1:M 01 Dec 2026 # WARNING Memory overcommit must be enabled! Without it, a background save may fail."
BROKEN = "1:M 01 Dec 2026 # Fatal error loading the DB, check server logs. Exiting."


def test_the_brokers_advice_about_the_machine_is_no_warning_but_its_errors_are() -> None:
    with capture_logs() as logged:
        log_lines(io.BytesIO(f"{OVERCOMMIT}\n\n{BROKEN}\n".encode()), "broker", advice=SYSTEM_ADVICE)
        until(lambda: len(logged) == 2)
    assert [(one["log_level"], one["text"]) for one in logged] == [("debug", OVERCOMMIT), ("warning", BROKEN)]
