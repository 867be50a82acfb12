"""Exit codes of the commands that use a service, and the errors that lead to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer


class ExitCode(IntEnum):
    JOB_FAILED = 1
    WRONG_USE = 2
    UNREACHABLE = 3  # or it did not answer in time, or has failed
    NOT_ALLOWED = 4
    INTERRUPTED = 130  # by Ctrl-C


@contextmanager
def errors_as_exit_codes(command: str) -> Iterator[None]:
    """Print an error of the client, or of files, as one sentence on standard error, and exit with its code."""
    try:
        yield
    except BrokenPipeError:
        raise  # typer ends quietly if nobody reads the output any more
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        typer.secho(f"genconvnet {command}: {sentence_of(error)}", err=True, fg="red")
        raise typer.Exit(code) from error


def _code_of(error: Exception) -> ExitCode | None:
    from api.client import errors  # late: a command may fail before it has imported the client

    codes: tuple[tuple[type[Exception], ExitCode], ...] = (
        (errors.JobFailed, ExitCode.JOB_FAILED),
        (errors.JobCanceled, ExitCode.JOB_FAILED),
        (errors.NotAllowed, ExitCode.NOT_ALLOWED),
        (errors.LimitReached, ExitCode.NOT_ALLOWED),
        (errors.ServiceFailed, ExitCode.UNREACHABLE),
        (errors.ErrorAnswer, ExitCode.WRONG_USE),
        (errors.ClientError, ExitCode.UNREACHABLE),
        (OSError, ExitCode.WRONG_USE),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), None)


def sentence_of(error: Exception) -> str:
    """Return what people are told of an error."""
    from api.client import errors

    if isinstance(error, errors.NotAllowed) and error.status == 401:
        return f"{error.detail} (--key, or GENCONVNET_KEY)"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
