"""When a request is sent again, and how long that waits."""

from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_before_delay, wait_random_exponential

from api.client.errors import ClientError

FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 0.25, 8.0

_growing = wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=MAX_WAIT_SECONDS)


def policy(seconds: float) -> dict[str, Any]:
    """Return tenacity's arguments: repeat what can be repeated, for at most `seconds` from the first attempt on."""
    return {
        "retry": retry_if_exception(lambda error: isinstance(error, ClientError) and error.repeatable),
        "stop": stop_before_delay(seconds),
        "wait": _wait,
        "reraise": True,
    }


def _wait(state: RetryCallState) -> float:
    """Return the seconds to wait: what the service has asked for (Retry-After), or else ever longer times."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ClientError) else None
    return _growing(state) if asked is None else asked
