"""The files of synthesized pictures and materials."""

import io
from typing import Any

import numpy as np
import OpenEXR
import torch

from core.pictures.exr import MEDIA_TYPE
from core.schemas.materials import MaterialMap
from worker.results import add_heights, named_pictures, picture_names

MAPS = (MaterialMap(role="albedo", channels=3, bits=8), MaterialMap(role="height", channels=1, bits=16))


class _Context:
    """Keeps what would be stored."""

    def __init__(self) -> None:
        self.added: dict[str, tuple[str, bytes]] = {}

    def add_artifact(self, name: str, media_type: str, content: bytes) -> None:
        self.added[name] = media_type, content


def test_a_picture_is_one_file_and_a_material_one_for_each_map() -> None:
    assert picture_names(7, ()) == ["synthesized-007.png"]
    assert picture_names(12, MAPS) == ["synthesized-012-albedo.png", "synthesized-012-height.png"]


def test_each_file_has_the_pixels_of_its_map() -> None:
    picture = torch.zeros(3, 4, 5, dtype=torch.uint8)
    ((name, pixels),) = named_pictures(0, picture, ())
    assert (name, pixels is picture) == ("synthesized-000.png", True)
    levels = torch.tensor([10.0, 20.0, 30.0, 100.5])[:, None, None].expand(4, 4, 5)
    albedo, height = named_pictures(1, levels, MAPS)
    assert (albedo[0], albedo[1].dtype, albedo[1][:, 0, 0].tolist()) == (
        "synthesized-001-albedo.png",
        torch.uint8,
        [10, 20, 30],
    )
    assert (height[0], height[1].dtype, height[1][:, 0, 0].tolist()) == (
        "synthesized-001-height.png",
        torch.uint16,
        [round(100.5 * 257)],
    )


def test_heights_are_there_once_more_in_floating_point() -> None:
    context: Any = _Context()
    levels = torch.full((4, 4, 5), 100.123)
    add_heights(context, 3, levels, MAPS)
    ((name, (media_type, content)),) = context.added.items()
    assert (name, media_type) == ("height-003.exr", MEDIA_TYPE)
    values = OpenEXR.File(io.BytesIO(content)).channels()["Y"].pixels
    assert np.allclose(values, 100.123 / 255, rtol=1e-6)


def test_without_a_height_map_there_is_no_such_file() -> None:
    context: Any = _Context()
    add_heights(context, 0, torch.zeros(3, 4, 5, dtype=torch.uint8), ())
    add_heights(context, 0, torch.zeros(3, 4, 5), MAPS[:1])
    assert context.added == {}
