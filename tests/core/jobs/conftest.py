import pytest
from support import rows

from core.storage.database import Database


@pytest.fixture
def sqlite_database(_sqlite: Database) -> Database:
    """A database for tests that do not depend on its kind, without rows. It stays open, as `database` does."""
    rows.empty(_sqlite)
    return _sqlite
