"""Structured logs for every process: JSON, or readable lines on a terminal."""

import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO

import structlog

from core.runtime.log_format import is_json
from core.runtime.settings import Settings


def configure_logs(settings: Settings) -> None:
    """Write our own and the libraries' logs to standard error in the same format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    renderer = structlog.processors.JSONRenderer() if is_json(settings.log_format) else structlog.dev.ConsoleRenderer()
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda failure: _log_uncaught(failure.exc_type, failure.exc_value, failure.exc_traceback)
    for name in ("alembic", "celery.worker.strategy", "celery.app.trace", "kombu", "httpx", "matplotlib", "PIL"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Log an exception that ends a process or a thread in the same format as everything else."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), trace)
        return
    structlog.get_logger().critical("uncaught_exception", exc_info=(kind, error, trace))


def log_lines(
    output: IO[bytes], process: str, about: Callable[[], Mapping[str, object]] = dict, advice: Sequence[str] = ()
) -> None:
    """Log each line that a program writes which has no structured log, in a thread that ends with the output.

    `about` returns what the lines of this moment are about. Lines that contain one of `advice` are no warnings: they
    are logged as debug.
    """

    def run() -> None:
        with output:
            for line in output:
                if text := line.decode(errors="replace").strip():
                    level = "debug" if any(one in text for one in advice) else "warning"
                    getattr(structlog.get_logger(), level)("output", process=process, text=text, **about())

    threading.Thread(target=run, name=f"output-{process}", daemon=True).start()
