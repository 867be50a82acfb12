import pytest
from support.http import Api, problem


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/nowhere", "/v1/jobs/a/b/c", "/v1/jobs/none", "/v1/models/none"]
)
def test_an_unknown_path_or_id_is_a_404_problem(each_api: Api, path: str) -> None:
    problem(each_api.client.get(path), 404)


@pytest.mark.parametrize("path", ["/v1/jobs/%00", "/v1/datasets/%00", "/v1/models/a%00b", "/v1/jobs/%ff%fe"])
def test_an_id_that_no_row_can_have_is_a_problem(each_api: Api, path: str) -> None:
    problem(each_api.client.get(path), 404, 422)


def test_a_method_that_a_route_does_not_have_is_a_405_problem(api: Api) -> None:
    answer = api.client.put("/v1/jobs")
    problem(answer, 405)
    assert set(answer.headers["allow"].split(", ")) & {"GET", "POST"}
