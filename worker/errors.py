"""Errors of the work on a job. core/storage/failures.py has those of the services it uses."""


class NonFiniteResult(ArithmeticError):
    """A computation resulted in infinity or NaN. Trying the job again would give the same."""
