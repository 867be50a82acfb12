"""A key as its holder sees it: never the key itself."""

import json

import pytest
from pydantic import ValidationError

from api.auth.schemas import SessionIn, SessionOut
from core.storage.tables import ApiKey

KEY = ApiKey(id="key_1", name="ada", prefix="gcn_abc", admin=True, sha256=b"0" * 32)


def test_a_session_shows_its_key_but_for_the_secret() -> None:
    KEY.expires_at = None
    shown = json.loads(SessionOut.of(KEY).model_dump_json())
    assert shown == {"key": {"id": "key_1", "name": "ada", "prefix": "gcn_abc", "admin": True, "expires_at": None}}
    KEY.expires_at = 0.5
    assert json.loads(SessionOut.of(KEY).model_dump_json())["key"]["expires_at"] == "1970-01-01T00:00:00.500Z"
    assert SessionOut.of(None).model_dump() == {"key": None}


def test_a_refusal_does_not_repeat_the_key() -> None:
    for wrong in ({"key": "gcn_secret" * 30}, {"key": "gcn_secret", "more": 1}):
        with pytest.raises(ValidationError) as refused:
            SessionIn.model_validate(wrong)
        assert "gcn_secret" not in str(refused.value)
