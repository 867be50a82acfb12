"""Entry point of the command `genconvnet`: Ctrl-C ends it quietly even while its modules are imported."""

import os
import signal
from types import FrameType

INTERRUPTED = 130  # as in api/commands/exit_codes.py, which is not imported yet


def main() -> None:
    """Run the command line."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else it is ignored, as behind nohup
        signal.signal(signal.SIGINT, _end)
    from api.cli import main as command_line

    signal.signal(signal.SIGINT, before)
    command_line()


def _end(_signal: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
