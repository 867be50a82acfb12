"""Which errors end a command with which exit code, and what is said of them."""

import errno
import os
import signal

import pytest
import typer

from api.client import errors
from api.client.errors import ErrorAnswer
from api.commands.exit_codes import (
    ExitCode,
    Terminated,
    code_of_interrupt,
    errors_as_exit_codes,
    output_errors_as_exit_codes,
    sentence_of,
    terminated_by_sigterm,
)

JOB = object()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.JobFailed(JOB, "it has failed"), 1),  # type: ignore[arg-type]
        (errors.JobCanceled(JOB, "it was canceled"), 1),  # type: ignore[arg-type]
        (errors.NotFound(404, "there is none"), 2),
        (errors.Invalid(422, "wrong"), 2),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.png"), 2),
        (errors.ServiceFailed(503, "busy"), 3),
        (errors.Unreachable("no service"), 3),
        (errors.UnexpectedAnswer("another program"), 3),
        (errors.NotAllowed(403, "not for this key"), 4),
        (errors.LimitReached(429, "too many"), 4),
    ],
)
def test_each_error_is_one_sentence_and_an_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, errors_as_exit_codes("jobs show"):
        raise error
    said = capsys.readouterr()
    assert (ended.value.exit_code, said.out, said.err.count("\n")) == (code, "", 1)
    assert said.err.startswith("genconvnet jobs show: ")


@pytest.mark.parametrize("error", [RuntimeError("a bug"), BrokenPipeError(errno.EPIPE, "Broken pipe")])
def test_other_errors_are_not_taken_for_a_users(error: Exception) -> None:
    with pytest.raises(type(error)), errors_as_exit_codes("jobs show"):
        raise error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errors.NotAllowed(401, "a key is needed"), "a key is needed (--key, or GENCONVNET_KEY)"),
        (errors.NotAllowed(403, "not for this key"), "not for this key"),
        (OSError(errno.ENOENT, "No such file", "a.png"), "a.png: No such file"),
        (OSError(errno.ENOSPC, "No space left"), "No space left"),
        (OSError("of two\n   lines"), "of two lines"),
        (ErrorAnswer(405, "of two\nlines"), "of two lines"),
    ],
)
def test_an_error_is_said_in_one_line(error: Exception, sentence: str) -> None:
    assert sentence_of(error) == sentence


def test_sigterm_ends_the_block_with_its_code_and_its_handler_with_the_block() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(typer.Exit) as ended, terminated_by_sigterm():
            os.kill(os.getpid(), signal.SIGTERM)
        assert ended.value.exit_code == ExitCode.TERMINATED
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with terminated_by_sigterm():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN, "as whoever started the command wants it"
    finally:
        signal.signal(signal.SIGTERM, before)
    assert code_of_interrupt(Terminated()) == 143
    assert code_of_interrupt(KeyboardInterrupt()) == 130


def test_a_full_disk_below_standard_output_is_wrong_use_and_below_a_file_is_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, output_errors_as_exit_codes("genconvnet"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert ended.value.code == ExitCode.WRONG_USE
    assert capfd.readouterr().err == "genconvnet: standard output: No space left on device\n"
    with pytest.raises(OSError, match="No space left"), output_errors_as_exit_codes("genconvnet"):
        raise OSError(errno.ENOSPC, "No space left on device", "a.png")
