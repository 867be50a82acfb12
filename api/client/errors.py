"""What a client raises.

ClientError
├── Unreachable              no connection to the service, or it broke; the request was not done, or never answered
│   └── NoAnswer             the request was sent, but no whole answer came: it may have been done
├── UnexpectedAnswer         the answer is not one of genconvnet: is the URL right?
├── ErrorAnswer              the service answered with an error: status, detail, errors
│   ├── NotAllowed           401 and 403: no key, or one that may not do this
│   ├── NotFound             404: it does not exist, or belongs to another key
│   ├── Conflict             409: not in this state, such as the deletion of a running job
│   ├── Invalid              400, 413, 415, 422: the request itself; `field` and `file` say what is at fault
│   ├── LimitReached         429: too many requests, jobs or bytes; see `retry_after`
│   └── ServiceFailed        5xx: the service has failed or is unavailable
├── JobFailed                `wait`: the job has failed; `job.error` says why
├── JobCanceled              `wait`: the job was canceled
└── WaitTimedOut             `wait`: the job has not ended in time; it goes on
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.client.data import JobData


class ClientError(Exception):
    """The base of all errors of this package.

    repeatable: True if the same request may be sent again, since it was not done or is harmless when done twice.
    retry_after: seconds to wait before that, if the service has named them.
    """

    repeatable = False
    retry_after: float | None = None


class Unreachable(ClientError):
    """There is no connection to the service."""


class NoAnswer(Unreachable):
    """The request was sent, but no whole answer came."""


class UnexpectedAnswer(ClientError):
    """What answered is not genconvnet, or an incompatible release."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a request: the field, what is wrong, and the file if it is in one."""

    field: str
    message: str
    file: str | None = None


class ErrorAnswer(ClientError):
    """The service answered with an error (application/problem+json, RFC 9457)."""

    def __init__(self, status: int, detail: str, errors: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, tuple(errors)

    @property
    def field(self) -> str | None:
        """The first field at fault, such as `params.iterations`."""
        return self.errors[0].field if self.errors else None

    @property
    def file(self) -> str | None:
        """The first file at fault."""
        return next((fault.file for fault in self.errors if fault.file), None)


class NotAllowed(ErrorAnswer):
    """401 or 403."""


class NotFound(ErrorAnswer):
    """404."""


class Conflict(ErrorAnswer):
    """409."""


class Invalid(ErrorAnswer):
    """400, 413, 415 or 422."""


class LimitReached(ErrorAnswer):
    """429."""


class ServiceFailed(ErrorAnswer):
    """5xx."""


class _JobEnded(ClientError):
    def __init__(self, job: "JobData", message: str) -> None:
        super().__init__(message)
        self.job = job


class JobFailed(_JobEnded):
    """The job has failed."""


class JobCanceled(_JobEnded):
    """The job was canceled."""


class WaitTimedOut(_JobEnded):
    """The job has not ended in time."""


_BY_STATUS = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict, 429: LimitReached}
_INVALID = (400, 413, 415, 422)


def error_for(status: int) -> type[ErrorAnswer]:
    """Return the class of the error for an answer with this status, which is 400 or above."""
    if status in _INVALID:
        return Invalid
    return ServiceFailed if status >= 500 else _BY_STATUS.get(status, ErrorAnswer)
