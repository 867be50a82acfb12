"""What the commands that post a job make of their arguments."""

import io
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from support import pictures, rows
from support.http import Api

from api.client import Conflict, Unreachable
from api.commands.job_commands import _blended, _dataset, _masked, _material, _require_learning_of_parts
from api.commands.session import Session


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(pictures.encoded(pictures.colors(), "JPEG"))
    return path


def test_the_maps_of_a_material_are_given_by_role(picture: Path) -> None:
    assert _material([f"albedo={picture}", f"height={picture}"]) == {"albedo": picture, "height": picture}
    for wrong, said in (
        (["albedo"], "is not ROLE=FILE, with a role of albedo, "),
        ([f"colour={picture}"], "is not ROLE=FILE"),
        ([f"albedo={picture}", f"albedo={picture}"], "albedo is given twice"),
        (["albedo=none.png"], "'none.png' is no file"),
        ([f"albedo={picture.parent}"], "is no file"),
    ):
        with pytest.raises(typer.BadParameter, match=said):
            _material(wrong)


def test_a_blended_model_has_a_mask_or_a_weight_or_both(session: Session, api: Api, picture: Path) -> None:
    model_id = rows.add_model(api.database)
    for text, mask, weight in (
        (f"{model_id}={picture}", picture, None),
        (f"{model_id}={picture}:0.25", picture, 0.25),
        (f"{model_id}=0.5", None, 0.5),
    ):
        blended, found = _blended(session, text)
        assert (blended.model.id, blended.weight, found) == (model_id, weight, mask)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model", "is not MODEL=MASK"),
        ("=0.5", "is not MODEL=MASK"),
        ("model=", "is not MODEL=MASK"),
        ("model=none.png", "the mask 'none.png' of 'model=none.png' does not exist"),
        ("model=/:0.5", "the mask '/' of 'model=/:0.5' is no file"),
        ("model=nan", "the mask 'nan' of 'model=nan' does not exist"),
    ],
)
def test_what_is_no_blend_is_refused_before_the_service_is_asked(session: Session, text: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        _blended(session, text)


def test_a_mask_makes_its_picture_transparent_where_it_is_black(picture: Path, tmp_path: Path) -> None:
    mask = np.zeros((pictures.HEIGHT, pictures.WIDTH), np.uint8)
    mask[:, :5] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    masked = _masked([picture], tmp_path / "mask.png")
    assert masked.name == "a.png"
    alpha = pictures.pixels(masked.read())[..., 3]
    assert (alpha == mask).all()


def test_a_mask_goes_with_one_picture_of_its_size(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "small.png").write_bytes(pictures.png(3, 3))
    (tmp_path / "text.png").write_text("no picture")
    for given, mask, said in (
        ([picture, picture], picture, "goes with one picture, a file"),
        ([tmp_path], picture, "goes with one picture, a file"),
        ([picture], tmp_path / "small.png", "a.jpg with .*small.png: "),
        ([picture], tmp_path / "text.png", "text.png is no picture"),
    ):
        with pytest.raises(typer.BadParameter, match=said) as refused:
            _masked(given, mask)
        assert refused.value.param_hint == "--mask"


def test_pictures_are_given_in_one_way_alone(session: Session, picture: Path) -> None:
    for given in ((None, None), ([picture], "dataset_1")):
        with pytest.raises(typer.BadParameter, match="give either pictures, or --dataset"), _dataset(session, *given):
            pass
    for ways, said in (({"dataset_id": "dataset_1"}, "--dataset"), ({"maps": ["albedo=a.png"]}, "--map")):
        given = {"pictures": None, "dataset_id": None, **ways}
        with pytest.raises(typer.BadParameter, match=f"not with {said}"), _dataset(session, mask=picture, **given):
            pass


def test_uploaded_pictures_are_deleted_if_their_job_is_refused(
    session: Session, picture: Path, tmp_path: Path, said: io.StringIO
) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(Conflict), _dataset(session, [tmp_path], None):
        raise Conflict(409, "refused")
    assert list(session.client.datasets.list()) == []
    assert said.getvalue() == "skipped notes.txt: text, such as a caption\n"
    with pytest.raises(Unreachable), _dataset(session, [picture], None) as kept:
        raise Unreachable("the job may have been accepted")
    assert list(session.client.datasets.list()) == [kept]
    with pytest.raises(Conflict), _dataset(session, None, kept.id):
        raise Conflict(409, "refused")
    assert list(session.client.datasets.list()) == [kept], "it was there before"


def test_only_models_of_textures_leave_out_what_is_masked(session: Session) -> None:
    _require_learning_of_parts(session, "quick", {})
    _require_learning_of_parts(session, "no such preset", {})
    for preset, params in (("object-cpu", {}), ("quick", {"top": "object"})):
        with pytest.raises(typer.BadParameter, match="see pictures whole"):
            _require_learning_of_parts(session, preset, params)
