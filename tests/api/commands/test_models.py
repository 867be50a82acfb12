"""A model is found by its id or its name, and names that several have are told."""

import io

import pytest
import typer
from support import rows
from support.http import Api

from api.client import NotFound
from api.commands.models import _origin, find_model, warn_of_same_name
from api.commands.session import Session
from core.storage import models


def _named(api: Api, name: str) -> str:
    model_id = rows.add_model(api.database)
    models.rename(api.database, model_id, name)
    return model_id


def test_the_id_comes_before_the_name_and_the_same_case_before_another(session: Session, api: Api) -> None:
    small, capital = _named(api, "bricks"), _named(api, "Bricks")
    misleading = _named(api, small)
    for which, found in ((small, small), ("bricks", small), ("Bricks", capital), (misleading, misleading)):
        assert find_model(session, which).id == found


def test_a_name_is_found_in_any_case_unless_it_must_be_exact(session: Session, api: Api) -> None:
    model_id = _named(api, "Straße")
    assert find_model(session, "STRASSE").id == model_id
    with pytest.raises(NotFound, match="did you mean 'Straße'"):
        find_model(session, "STRASSE", exact=True)


def test_a_name_that_several_have_needs_an_id(session: Session, api: Api) -> None:
    first, second, third = _named(api, "Bricks"), _named(api, "bricks"), _named(api, "bricks")
    with pytest.raises(typer.BadParameter, match="is the name of 2 models") as refused:
        find_model(session, "bricks")
    assert all(one in str(refused.value) for one in (second, third))
    assert first not in str(refused.value)
    with pytest.raises(typer.BadParameter, match="is the name of 3 models"):
        find_model(session, "BRICKS")


def test_of_an_unknown_name_similar_ones_are_told(session: Session, api: Api) -> None:
    _named(api, "bricks")
    with pytest.raises(NotFound, match="did you mean 'bricks'"):
        find_model(session, "brick")
    with pytest.raises(NotFound, match="`genconvnet models list` lists them"):
        find_model(session, "a photograph of grass")


def test_a_model_is_told_from_another_of_its_name_by_its_pictures(session: Session, api: Api) -> None:
    learned = session.client.models.show(_named(api, "bricks"))
    assert _origin(learned).startswith("learned from deleted pictures at ")
    assert _origin(learned.model_copy(update={"dataset_name": "wall"})).startswith("learned from wall at ")
    assert _origin(learned.model_copy(update={"job_id": None})).startswith("imported at ")


def test_a_new_name_that_another_model_has_is_told(session: Session, api: Api, said: io.StringIO) -> None:
    model_id = _named(api, "bricks")
    for name, besides in (("bricks", model_id), ("grass", None), (None, None)):
        warn_of_same_name(session, name, besides)
    assert said.getvalue() == ""
    warn_of_same_name(session, "bricks")
    assert said.getvalue() == f"warning: bricks is also the name of {model_id}: commands then need an id\n"
