"""Refusals to start: one sentence on standard error that says what to do, and exit code 2."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.runtime import log_format

REFUSED = 2  # the exit code of a process that was set up or used wrongly


class CannotStart(RuntimeError):
    """The process was set up so that it cannot start. The message says why and what to do, in one sentence."""


@contextmanager
def exit_if_refused(program: str, *, as_json: bool | None = None) -> Iterator[None]:
    """Report a CannotStart as `print_refusal` does, and raise SystemExit with the exit code REFUSED."""
    try:
        yield
    except CannotStart as error:
        print_refusal(f"{program}: {error}", as_json=as_json)
        raise SystemExit(REFUSED) from error


def print_refusal(message: str, *, as_json: bool | None = None) -> None:
    """Print one line on standard error: JSON, or text. If `as_json` is None, it is JSON if the logs are.

    It does not go through the logs, because it may be about their settings.
    """
    line = " ".join(message.split())
    if log_format.is_json() if as_json is None else as_json:
        line = log_format.json_line("cannot_start", "critical", reason=line)
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def prepare_folder(folder: Path, what: str, advice: str) -> None:
    """Create the folder if it does not exist, and check that files can be written to it.

    `what` names the folder and `advice` says what to do, for the message. Raises CannotStart.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise CannotStart(f"{what} {folder} is not a folder but a file: {advice}") from error
    except OSError as error:
        raise CannotStart(f"{what} {folder} cannot be created ({error.strerror}): {advice}") from error
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CannotStart(
            f"{what} {folder} cannot be written ({error.strerror}): make it writable for this user, or {advice}"
        ) from error
