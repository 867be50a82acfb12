"""Exit codes of the commands that use a service, and the errors that lead to them."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import NoReturn, TextIO

import typer

from core.runtime.startup import print_refusal


class ExitCode(IntEnum):
    JOB_FAILED = 1
    WRONG_USE = 2
    UNREACHABLE = 3  # or it did not answer in time, or has failed
    NOT_ALLOWED = 4
    INTERRUPTED = 130  # by Ctrl-C
    OUTPUT_CLOSED = 141  # as a shell says of a program that SIGPIPE has ended
    TERMINATED = 143  # the same of SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM has come. It ends a command as Ctrl-C does, with another code."""


@contextmanager
def terminated_by_sigterm() -> Iterator[None]:
    """Raise Terminated if SIGTERM comes during the block, and exit with its code."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except Terminated:
        raise typer.Exit(ExitCode.TERMINATED) from None
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def code_of_interrupt(interrupt: KeyboardInterrupt) -> ExitCode:
    return ExitCode.TERMINATED if isinstance(interrupt, Terminated) else ExitCode.INTERRUPTED


@contextmanager
def output_errors_as_exit_codes(program: str, *, as_json: bool = False) -> Iterator[None]:
    """Exit with OUTPUT_CLOSED if standard output was closed early, and say in one line if it cannot be written."""
    output = sys.stdout
    before = _file_of(output)
    failure: OSError | None = None
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        failure = error
    finally:
        if before is not None:
            try:
                output.flush()
            except OSError as error:
                failure = error
                os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())  # Python flushes it once more at its end
            # On a closed pipe typer replaces sys.stdout, rich the file behind it, and both exit with 1.
            closed = sys.stdout is not output or _file_of(output) != before
            if isinstance(failure, BrokenPipeError) or (failure is None and closed):
                raise SystemExit(ExitCode.OUTPUT_CLOSED) from None
        if failure is not None:
            print_refusal(f"{program}: standard output: {failure.strerror}", as_json=as_json)
            raise SystemExit(ExitCode.WRONG_USE) from None


def _file_of(output: TextIO | None) -> tuple[int, int] | None:
    """Return the device and inode of the file that is written to; None if it is none."""
    try:
        status = os.fstat(output.fileno())  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):  # standard output may be closed, or be no file
        return None
    return status.st_dev, status.st_ino


@contextmanager
def errors_as_exit_codes(command: str) -> Iterator[None]:
    """Print an error of the client, or of files, as one sentence on standard error, and exit with its code."""
    try:
        yield
    except BrokenPipeError:
        raise  # typer ends quietly; see output_errors_as_exit_codes
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
