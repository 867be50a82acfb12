"""Errors that a caller of core.storage can cause."""


class StorageError(Exception):
    """Base of the errors below."""


class NotFound(StorageError):
    """There is no such row, or the caller may not see it. hint: what may be meant."""

    def __init__(self, noun: str, id_: str, hint: str = "") -> None:
        super().__init__(f"there is no {noun} {id_!r}{hint}")
        self.noun = noun


class Conflict(StorageError):
    """The state of the row does not allow this."""


class LimitReached(StorageError):
    """The key has reached a limit. It may try again after `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LeaseLost(StorageError):
    """The job was claimed by another worker, finished or deleted, so this worker may not write to it any more."""
