"""What can be wrong with a request to the store."""


class StorageError(Exception):
    """Base of the errors below; none is the store's own fault."""


class NotFound(StorageError):
    """No such row."""

    def __init__(self, noun: str, id_: str) -> None:
        super().__init__(f"there is no {noun} {id_!r}")
        self.noun = noun


class Conflict(StorageError):
    """The row is not in a state that allows this."""


class LimitReached(StorageError):
    """The key may have no more of that for now; trying again makes sense after `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LeaseLost(StorageError):
    """The job was claimed by another worker, ended or deleted meanwhile: what this one writes no longer counts."""
