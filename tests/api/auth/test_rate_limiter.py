from pathlib import Path

from support.http import Api, problem
from support.keys import ask, holder
from support.valkey import Valkey


def test_all_apis_count_the_requests_of_a_key_together(api: Api, tmp_path: Path, valkey: Valkey) -> None:
    ada = holder(api.database, "ada", requests_per_minute=4)
    bob = holder(api.database, "bob", requests_per_minute=4)
    with Api(tmp_path, valkey.url, str(api.database.engine.url)) as other_api:
        answers = [ask(one, ada, "GET", "/v1/jobs") for one in (api, other_api) * 3]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert "requests_per_minute" in problem(answers[-1], 429)["detail"]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert ask(other_api, bob, "GET", "/v1/jobs").status_code == 200
