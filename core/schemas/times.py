"""Moments as clients read them: RFC 3339, UTC."""

from datetime import UTC, datetime

DAY_SECONDS = 86_400.0


def moment(seconds: float) -> datetime:
    """The database's seconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
