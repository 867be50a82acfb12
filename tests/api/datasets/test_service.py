"""A dataset is stored whole or not at all."""

from support import pictures
from support.http import LIMITS, Api, problem


def test_more_pictures_than_allowed_are_refused(api: Api) -> None:
    before = api.stored()
    files = [(f"{index}.png", pictures.png(1, 1)) for index in range(LIMITS["GENCONVNET_MAX_PICTURES"] + 1)]
    problem(api.upload(*files), 413)
    problem(api.upload_zip(pictures.zipped(dict(files))), 413, 422)
    assert api.stored() == before
