from learned_settings import TEXTURE

from core.schemas.learned import boundary_of_pictures


def test_settings_without_top_and_patch_size_are_a_textures():
    assert TEXTURE.only_size is None
    assert (TEXTURE.side, TEXTURE.boundary) == (96, "torus")


def test_uploaded_pictures_are_not_periodic():
    assert [boundary_of_pictures(one) for one in ("valid", "torus", "padded")] == ["valid", "valid", "padded"]
