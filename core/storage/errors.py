"""What can be wrong with a request to the store."""


class StoreError(Exception):
    """Base of the errors below; none is the store's own fault."""


class NotFound(StoreError):
    """No such row."""

    def __init__(self, noun: str, id_: str) -> None:
        super().__init__(f"there is no {noun} {id_!r}")
        self.noun = noun


class Conflict(StoreError):
    """The row is not in a state that allows this."""


class LimitReached(StoreError):
    """The key may have no more of that for now; trying again makes sense after `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LeaseLost(StoreError):
    """The job was claimed by another worker, ended or deleted meanwhile: what this one writes no longer counts."""
