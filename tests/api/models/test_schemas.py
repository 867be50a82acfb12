"""Models as responses show them."""

import pytest
from pydantic import ValidationError

from api.models.schemas import ModelIn, ModelOut
from core.storage.tables import Model

KEPT = {"seed": 1, "chains": 8}


def _model(**changes: object) -> Model:
    about = {"id": "model_1", "name": "bricks", "created_at": 0.0, "params": {}, "channels": 1, "bytes": 3}
    return Model(**{**about, "sha256": "0" * 64, "maps": [], **changes})


def test_a_model_shows_its_maps_and_where_its_file_is() -> None:
    shown = ModelOut.of(_model(maps=[{"role": "height", "channels": 1, "bits": 16}]), "walls")
    assert [(one.role, one.bits) for one in shown.maps] == [("height", 16)]
    assert (shown.dataset_name, shown.url, shown.log_partition) == ("walls", "/v1/models/model_1/download", None)


def test_a_name_may_be_none_but_must_be_given() -> None:
    assert ModelIn.model_validate({"name": None}).name is None
    for wrong in ({}, {"name": "x" * 201}, {"name": "a\0"}, {"name": "a", "params": {}}):
        with pytest.raises(ValidationError):
            ModelIn.model_validate(wrong)
