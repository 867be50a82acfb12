"""Times as clients read them: RFC 3339, in UTC."""

from datetime import UTC, datetime

DAY_SECONDS = 86_400.0


def utc_datetime(seconds: float) -> datetime:
    """Convert the database's seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def rfc3339(time: datetime) -> str:
    """Format a time in UTC, to the millisecond."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
