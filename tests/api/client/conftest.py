"""A client of a running API."""

from typing import Any

import pytest
from support.http import Api

from api.client import Client


@pytest.fixture
def client(api: Api) -> Any:
    with Client(str(api.client.base_url)) as client:
        yield client
