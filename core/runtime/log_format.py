"""Decides whether a process writes lines of JSON or readable text, for its logs and for all else on standard error."""

import json
import os
import sys
from datetime import UTC, datetime

VARIABLE = "GENCONVNET_LOG_FORMAT"


def is_json(log_format: str | None = None) -> bool:
    """Return True if lines are JSON: if asked for, or, unless text is asked for, if nobody reads them on a terminal.

    `log_format` is the setting, read from the environment if not given: a message may be about invalid settings.
    """
    chosen = (log_format or os.environ.get(VARIABLE, "")).lower()
    return chosen == "json" or (chosen != "console" and not sys.stderr.isatty())


def asked_for_json() -> bool:
    """Return True if the environment asks for lines of JSON, also on a terminal."""
    return os.environ.get(VARIABLE, "").lower() == "json"


def json_line(event: str, level: str, **fields: str) -> str:
    """Return a line in the form of the logs, for what is said outside of them."""
    return json.dumps({"event": event, **fields, "level": level, "timestamp": datetime.now(UTC).isoformat()})
