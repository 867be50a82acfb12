"""Which turns and flips may be asked for (core/schemas/orientations.py)."""

import pytest
from pydantic import TypeAdapter, ValidationError

from core.schemas.net import LayerParams
from core.schemas.orientations import Orientations, check_orientations, check_turnable

ORIENTATIONS: TypeAdapter[Orientations] = TypeAdapter(Orientations)
LAYERS = [LayerParams(filters=4, kernel_size=7, stride=2), LayerParams(filters=3, kernel_size=3)]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("any", ("any",)),
        (["any"], ("any",)),
        ("flipped-90", ("flipped-90",)),
        ("90", ("90",)),
        (90, ("90",)),
        ([0, "90", 270], ("0", "90", "270")),
    ],
    ids=str,
)
def test_orientations_are_given_by_name_or_by_degrees_in_a_list_or_alone(given, names):
    assert ORIENTATIONS.validate_python(given) == names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "at least 1"),
        (["0"] * 9, "at most 8"),
        (45, "45 is no orientation; they are 0, 90, 180, 270, flipped-0, .* any: for example "),
        (["0", "45"], '"45" is no orientation'),
        ("all", '"all" is no orientation'),
        (None, "null is no orientation"),
        ([90.0], r"90\.0 is no orientation"),
        ([["0"]], r'\["0"\] is no orientation'),
        (True, "true is no orientation"),
    ],
    ids=str,
)
def test_what_is_no_orientation_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        ORIENTATIONS.validate_python(given)


@pytest.mark.parametrize(
    ("given", "message"), [(("0", "any"), "any alone"), (("0", "0"), "each orientation once")], ids=str
)
def test_each_orientation_is_named_once_and_any_angle_alone(given, message):
    with pytest.raises(ValueError, match=message):
        check_orientations(given)


@pytest.mark.parametrize(("patch_size", "least"), [(24, 38), (None, 23)])
def test_pictures_must_be_larger_than_what_is_turned_in_them(patch_size, least):
    check_turnable(least, patch_size, LAYERS)
    with pytest.raises(ValueError, match=f"image_size of at least {least}"):
        check_turnable(least - 1, patch_size, LAYERS)
