"""The key that a request carries, and what that key allows."""

import pytest
from starlette.datastructures import Headers

from api.auth.credentials import Credentials, access_of, anonymous_access, find, requests_per_minute
from api.settings import ApiSettings
from core.storage.tables import NO_OWNER, ApiKey


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Authorization": "Bearer gcn_a"}, Credentials("gcn_a", by_cookie=False)),
        ({"Authorization": "bearer  gcn_a "}, Credentials("gcn_a", by_cookie=False)),
        ({"Authorization": "Bearer"}, Credentials("", by_cookie=False)),
        ({"Cookie": "other=1; genconvnet_key=gcn_b"}, Credentials("gcn_b", by_cookie=True)),
        ({"Authorization": "Basic eDp5", "Cookie": "genconvnet_key=gcn_b"}, Credentials("gcn_b", by_cookie=True)),
        (
            {"Authorization": "Bearer gcn_a", "Cookie": "genconvnet_key=gcn_b"},
            Credentials("gcn_a", by_cookie=False),
        ),
        ({"Authorization": "Basic eDp5"}, None),
        ({"Cookie": "genconvnet_key="}, None),
        ({}, None),
    ],
)
def test_the_header_comes_before_the_cookie(headers: dict[str, str], found: Credentials | None) -> None:
    assert find(Headers(headers)) == found


SETTINGS = ApiSettings(max_stored_bytes=100, max_unfinished_jobs=5, requests_per_minute=60)


def test_a_keys_own_limits_come_before_those_of_the_settings() -> None:
    own = ApiKey(id="key_1", seq=3, admin=False, max_stored_bytes=7, max_unfinished_jobs=0, requests_per_minute=1)
    access = access_of(own, SETTINGS, "r1")
    assert (access.owner, access.sees_all, access.key_id, access.request_id) == (3, False, "key_1", "r1")
    assert (access.max_stored_bytes, access.max_unfinished_jobs, requests_per_minute(own, SETTINGS)) == (7, 0, 1)
    plain = ApiKey(id="key_2", seq=4, admin=True)
    access = access_of(plain, SETTINGS, None)
    assert (access.max_stored_bytes, access.max_unfinished_jobs, access.sees_all) == (100, 5, True)
    assert requests_per_minute(plain, SETTINGS) == 60
    assert requests_per_minute(plain, ApiSettings()) is None


def test_a_client_without_a_key_sees_nothing() -> None:
    access = anonymous_access("r1")
    assert (access.owner, access.sees_all, access.key_id, access.request_id) == (NO_OWNER, False, None, "r1")
