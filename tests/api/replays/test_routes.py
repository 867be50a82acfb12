"""POST /v1/replays as a form."""

from support.http import Api, problem
from support.origins import picture_of


def test_a_form_without_one_file_is_refused(api: Api) -> None:
    problem(api.client.post("/v1/replays"), 422)
    two = [("image", ("a.png", picture_of())), ("image", ("b.png", picture_of()))]
    problem(api.client.post("/v1/replays", files=two), 422)
