"""The names of all environment variables that the service reads, to notice those that are misspelt."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from core.runtime.settings import PREFIX

SETTINGS = frozenset(
    {
        "ALLOW_CREDENTIALS",
        "ALLOWED_HOSTS",
        "ALLOWED_ORIGINS",
        "BLOB_URL",
        "BROKER_URL",
        "DATA_DIR",
        "DATABASE_URL",
        "DECODE_SECONDS",
        "DECODER_MEMORY_BYTES",
        "DECODERS",
        "DEVICE",
        "HEADERS_SECONDS",
        "HEARTBEAT_SECONDS",
        "HOST",
        "IDEMPOTENCY_DAYS",
        "KEEP_BYTES",
        "KEEP_JOBS_DAYS",
        "LEASE_SECONDS",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "MAX_BODY_BYTES",
        "MAX_FILE_BYTES",
        "MAX_JOB_SECONDS",
        "MAX_PICTURE_PIXELS",
        "MAX_PICTURE_SIDE",
        "MAX_PICTURES",
        "MAX_STORED_BYTES",
        "MAX_STORED_PIXELS",
        "MAX_UNFINISHED_JOBS",
        "MIN_FREE_BYTES",
        "MIN_UPLOAD_BYTES_PER_SECOND",
        "NICENESS",
        "ORPHAN_DAYS",
        "PICTURE_METADATA",
        "PORT",
        "PREVIEW_SECONDS",
        "PROGRESS_SECONDS",
        "PUBLISHED_ON",
        "RECONCILE_SECONDS",
        "REQUESTS_PER_MINUTE",
        "REVISION",
        "ROOT_PATH",
        "SAMPLE_WORKERS",
        "STALL_SECONDS",
        "SWEEP_SECONDS",
        "THREADS",
        "UPLOAD_DECODE_SECONDS",
        "UPLOAD_GRACE_SECONDS",
        "UPLOAD_IDLE_SECONDS",
        "UPLOADS_AT_ONCE",
        "WEBHOOK_LOG_DAYS",
        "WEBHOOK_LOOK_SECONDS",
        "WEBHOOK_RETRY_SCALE",
        "WEBHOOK_TIMEOUT_SECONDS",
        "WEBHOOKS_TO_PRIVATE_ADDRESSES",
        "WITHOUT_KEYS",
    }
)
"""The settings of API and workers: each gets those of the other, as with compose."""
OTHERS = frozenset({"DIE_WITH_PARENT", "KEY", "PUBLISH", "SERVER"})  # of our processes, the client and compose
TESTS = "TEST_"

log = structlog.get_logger()


@dataclass(frozen=True)
class UnknownVariable:
    """A variable that nothing reads, and the one that may be meant."""

    name: str
    meant: str | None

    def __str__(self) -> str:
        return f"{self.name} is no setting" + (f": did you mean {self.meant}?" if self.meant else "")


def find_unknown(environment: Mapping[str, str] = os.environ) -> list[UnknownVariable]:
    """Return the variables that begin as ours do, in any case of letters, and that nothing reads."""
    known = SETTINGS | OTHERS
    found = []
    for name in sorted(environment):
        given = name.upper().removeprefix(PREFIX)
        if name.upper().startswith(PREFIX) and given not in known and not given.startswith(TESTS):
            meant = difflib.get_close_matches(given, known, n=1)
            found.append(UnknownVariable(name, PREFIX + meant[0] if meant else None))
    return found


def log_unknown() -> None:
    """Log a warning for each variable that nothing reads."""
    for variable in find_unknown():
        log.warning("unknown_variable", name=variable.name, did_you_mean=variable.meant)
