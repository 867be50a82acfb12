"""Pictures of more than 8 bits a channel, which Pillow has no modes for: converted to sRGB from all their bits."""

from collections.abc import Callable

from PIL import Image

from core.pictures.profiles import Converter, Profile, Samples

BAND_ROWS = 64


def deep_picture(
    size: tuple[int, int], inks: int, profile: Profile | None, read_rows: Callable[[int, int], Samples], reduction: int
) -> Image.Image:
    """Convert samples to a picture in sRGB, its sides divided by `reduction`, some rows at a time.

    inks: 1 grey, 3 RGB, 4 CMYK. read_rows: (top, bottom) -> (bottom - top, width, inks or inks + 1), with alpha last.
    """
    convert, (width, height) = Converter(inks, profile), size
    small = -(-width // reduction), -(-height // reduction)
    picture: Image.Image | None = None
    for top in range(0, small[1], BAND_ROWS):
        shown = convert(read_rows(top * reduction, min((top + BAND_ROWS) * reduction, height)))
        band = Image.fromarray(shown[..., 0] if shown.shape[-1] == 1 else shown)
        picture = picture or Image.new(band.mode, small)
        picture.paste(band.reduce(reduction) if reduction > 1 else band, (0, top))
    assert picture is not None
    return picture
