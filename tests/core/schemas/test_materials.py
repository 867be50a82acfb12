"""Which maps make a material."""

import pytest
from pydantic import ValidationError

from core.schemas.materials import MAX_CHANNELS, ROLES, MaterialMap, Role, channels_of, check_maps


def _map(role: Role, channels: int = 1) -> MaterialMap:
    return MaterialMap.model_validate({"role": role, "channels": channels, "bits": 8})


def test_maps_have_their_channels_together() -> None:
    maps = [_map("albedo", 3), _map("normal", 3), _map("height")]
    assert channels_of(maps) == 7
    check_maps(maps)
    check_maps([])
    check_maps([_map(role, 3) for role in ROLES[:5]] + [_map("other")])  # 16 channels


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        ([_map("height"), _map("albedo", 3), _map("height")], "a role is there twice"),
        ([_map("normal")], "a normal map has three channels"),
        ([_map(role, 3) for role in ROLES[:6]], f"18 channels, more than {MAX_CHANNELS}"),
    ],
)
def test_what_is_no_material_is_refused(maps: list[MaterialMap], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_maps(maps)


@pytest.mark.parametrize("wrong", [{"role": "colour"}, {"channels": 2}, {"bits": 12}, {"more": 1}])
def test_a_map_is_grey_or_rgb_of_8_or_16_bits(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MaterialMap.model_validate({"role": "height", "channels": 1, "bits": 8, **wrong})
