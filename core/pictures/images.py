"""Convert between picture files and the model's tensors.

A picture file is PNG with 8 bits per channel, grey or colour, with or without alpha. Its tensor holds grey levels,
0 to 255.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from core.pictures.colour_box import ColourBox
from core.pictures.deep_png import write_deep_png
from core.pictures.known_pixels import is_partial
from core.pictures.masks import fully_known, known_share, middle_square

SHEET_GAP = 2  # pixels between the pictures of a sheet
BLACK, WHITE = 0, 255
UNKNOWN_TOLERANCE = 1e-4  # of unknown pixels in a scaled one: less changes it by at most a fortieth of a grey level


def read_picture(content: bytes, size: int, channels: int) -> Tensor:
    """Read a picture file -> (C, size, size) grey levels: its short side scaled to `size`, its long one cropped.

    The middle of the long side is kept. Transparent parts are laid on white. channels: 1 or 3.
    """
    with Image.open(io.BytesIO(content)) as opened:
        picture = _laid_on(opened, channels)
    return _as_tensor(_scaled(picture, size))


def read_covering(content: bytes, height: int, width: int, channels: int, ground: int = WHITE) -> Tensor:
    """Read a picture file -> (C, height, width) grey levels: scaled to cover that size, and cropped to its middle.

    ground: the grey level on which transparent parts are laid. channels: 1 or 3.
    """
    with Image.open(io.BytesIO(content)) as opened:
        picture = _laid_on(opened, channels, ground)
    return _as_tensor(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class MaskedPicture:
    """A picture with unknown pixels. pixels (C, S, S): grey levels, white if unknown. known (S, S): bool."""

    pixels: Tensor
    known: Tensor


def read_masked_picture(content: bytes, size: int, channels: int) -> MaskedPicture:
    """Read a picture file as `read_picture` does, and which of its pixels are known: those that are not transparent.

    Scaling mixes pixels some distance apart. A known pixel near unknown ones is the mean of the known ones only, with
    the weights of the scaling filter.
    """
    with Image.open(io.BytesIO(content)) as opened:
        picture, share = _laid_on(opened, channels), known_share(opened)
    known = fully_known(share, size)
    pixels = np.array(_scaled(picture, size), dtype=np.float32).reshape(size, size, channels)
    box = middle_square(*picture.size)
    weight = np.asarray(share.resize((size, size), Image.Resampling.LANCZOS, box=box))
    near_unknown = known & (np.abs(weight - 1) > UNKNOWN_TOLERANCE)
    for channel, band in enumerate(picture.split()):
        of_known = Image.fromarray(np.asarray(band, dtype=np.float32) * np.asarray(share))
        scaled = np.asarray(of_known.resize((size, size), Image.Resampling.LANCZOS, box=box))
        pixels[near_unknown, channel] = (scaled[near_unknown] / weight[near_unknown]).round().clip(0, WHITE)
    pixels[~known] = WHITE
    return MaskedPicture(_channels_first(pixels), torch.from_numpy(known))


def _laid_on(opened: Image.Image, channels: int, ground: int = WHITE) -> Image.Image:
    """Convert to grey (1 channel) or colour (3), with transparent parts laid on a ground of this grey level."""
    picture = opened.convert("RGBA" if channels == 3 else "LA")
    behind = Image.new(picture.mode, picture.size, (*(ground,) * channels, WHITE))
    picture = (
        Image.alpha_composite(behind, picture)
        if channels == 3
        else Image.composite(picture, behind, picture.getchannel("A"))
    )
    return picture.convert("RGB" if channels == 3 else "L")


def _scaled(picture: Image.Image, size: int) -> Image.Image:
    box = middle_square(*picture.size)
    return picture.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def _as_tensor(picture: Image.Image) -> Tensor:
    array = np.asarray(picture, dtype=np.float32)
    return _channels_first(array.reshape(*array.shape[:2], -1))


def _channels_first(pixels: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


@dataclass(frozen=True)
class Levels:
    """How grey levels are standardized for a model: (grey level - mean) * gain. mean (C,), in grey levels.

    colours: a box around the colours of the training pictures, standardized; None in models without one.
    shares (C,): what the gain is multiplied by in each channel, for the maps of a material; None for pictures.
    """

    mean: Tensor
    gain: float = 1.0
    colours: ColourBox | None = None
    shares: Tensor | None = None

    @property
    def gains(self) -> Tensor:
        """The gain of each channel (C,)."""
        return self.gain * (torch.ones_like(self.mean) if self.shares is None else self.shares)

    @property
    def box(self) -> ColourBox:
        """The box that chains may be confined to: the training pictures' colours, or all colours without `colours`."""
        mean = self.mean[:, None, None]
        gain = self._gain(mean)
        return self.colours or ColourBox(-mean * gain, (WHITE - mean) * gain)

    def _gain(self, like: Tensor) -> Tensor | float:
        """Return what pictures (..., C, H, W) are multiplied by."""
        return self.gain if self.shares is None else self.gains.to(like)[:, None, None]

    def standardize(self, pictures: Tensor, own_mean: bool = False) -> Tensor:
        """Return (pictures - mean) * gain for grey levels (N, C, H, W). own_mean: subtract each picture's own mean.

        Unknown pixels are NaN, stay so, and do not count.
        """
        if own_mean:
            mean = pictures.nanmean if is_partial(pictures) else pictures.mean
            pictures = pictures - mean(dim=(2, 3), keepdim=True) + self.mean.to(pictures)[:, None, None]
        return (pictures - self.mean.to(pictures)[:, None, None]) * self._gain(pictures)

    def to_grey_levels(self, images: Tensor) -> Tensor:
        """Inverse of `standardize`, also for what a model synthesizes. (N, C, H, W) -> same shape."""
        return images / self._gain(images) + self.mean.to(images)[:, None, None]


def standardize(pictures: Tensor, contrast: float | None = None, own_mean: bool = False) -> tuple[Tensor, Levels]:
    """Subtract each channel's mean (sec. 7) and, if `contrast` is given, scale to that standard deviation.

    pictures (N, C, H, W) in grey levels -> standardized pictures of the same shape, and the levels that standardize
    them. own_mean: subtract from each picture its own mean.
    """
    mean = pictures.mean(dim=(0, 2, 3))
    centred = Levels(mean).standardize(pictures, own_mean)
    gain = gain_for(rms(centred), contrast)
    stretched = centred * gain
    colours = stretched.movedim(1, 0).flatten(1)
    return stretched, Levels(mean, gain, ColourBox.enclosing(stretched, colours @ colours.T))


def rms(images: Tensor) -> float:
    """Return the root mean square of all values."""
    return images.detach().square().mean().sqrt().item()


def gain_for(std: float, contrast: float | None) -> float:
    """Return the factor that scales pictures of `std` grey levels to `contrast`; 1 if that is None.

    A `std` below one grey level counts as one, so that noise does not become a texture.
    """
    return 1.0 if contrast is None else contrast / max(std, 1.0)


def to_pixels(images: Tensor, levels: Levels) -> Tensor:
    """Convert standardized or synthesized pictures to bytes (N, C, H, W), clamped to 0..255."""
    return to_bytes(levels.to_grey_levels(images.detach().cpu()))


def to_bytes(pictures: Tensor) -> Tensor:
    """Round grey levels and clamp them to 0..255."""
    return pictures.round().clamp(0, WHITE).to(torch.uint8)


def write_picture(pixels: Tensor) -> bytes:
    """Encode pixels (C, H, W) as a PNG file with 8 bits per channel (uint8) or 16 (uint16)."""
    if pixels.dtype == torch.uint16:
        return write_deep_png(pixels.permute(1, 2, 0).numpy())
    buffer = io.BytesIO()
    to_image(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def to_image(pixels: Tensor) -> Image.Image:
    """Return pixels (C, H, W) as a picture of Pillow's with 8 bits per channel; of 16 bits the high ones are kept."""
    array = pixels.permute(1, 2, 0).numpy()
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    return Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array)


def sheet(pictures: Sequence[Tensor], columns: int | None = None, magnify: int = 1) -> Tensor:
    """Arrange pictures (C, H, W) in rows on white, in cells of the largest one's size -> (C, H', W') bytes."""
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    channels = pictures[0].shape[0]
    height, width = (magnify * max(picture.shape[dim] for picture in pictures) for dim in (1, 2))
    whole = torch.full(
        (channels, rows * (height + SHEET_GAP) - SHEET_GAP, columns * (width + SHEET_GAP) - SHEET_GAP),
        WHITE,
        dtype=torch.uint8,
    )
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + SHEET_GAP), index % columns * (width + SHEET_GAP)
        large = picture.repeat_interleave(magnify, dim=1).repeat_interleave(magnify, dim=2)
        whole[:, top : top + large.shape[1], left : left + large.shape[2]] = large
    return whole


def filter_sheet(weight: Tensor) -> Tensor:
    """Arrange first-layer filters (K, C, k, k) as pictures, each scaled about mid-grey -> (C, H, W) bytes."""
    weight = weight.detach().cpu().float()
    if weight.shape[1] not in (1, 3):
        weight = weight.mean(dim=1, keepdim=True)
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    pixels = (weight / largest * 127 + 128).round().to(torch.uint8)
    return sheet(list(pixels), magnify=max(1, 45 // weight.shape[-1]))


def reduce(pictures: Tensor, longest: int) -> Tensor:
    """Scale pictures (N, C, H, W) so that their longest side is `longest`, by means of pixels; smaller ones stay."""
    height, width = pictures.shape[2:]
    scale = longest / max(height, width)
    if scale >= 1:
        return pictures
    return functional.adaptive_avg_pool2d(pictures, (max(1, round(scale * height)), max(1, round(scale * width))))


def resize_periodic(pixels: Tensor, height: int, width: int) -> Tensor:
    """Resize a periodic picture (C, H, W) so that it stays periodic -> (C, height, width), of the same dtype.

    It is continued periodically on each side before it is resampled, and cropped afterwards. Pixels are bytes in 1 or
    3 channels, or float32 in any number of them.
    """
    if pixels.shape[-2:] == (height, width):
        return pixels
    if pixels.dtype == torch.float32 and len(pixels) > 1:  # Pillow has no picture of several such channels
        return torch.cat([resize_periodic(channel[None], height, width) for channel in pixels])
    channels = pixels.shape[0]
    band = 16
    rows = torch.arange(-band, pixels.shape[1] + band) % pixels.shape[1]
    columns = torch.arange(-band, pixels.shape[2] + band) % pixels.shape[2]
    array = pixels[:, rows][:, :, columns].permute(1, 2, 0).numpy()
    picture = Image.fromarray(array.squeeze(2) if channels == 1 else array)
    box = (band, band, band + pixels.shape[2], band + pixels.shape[1])
    scaled = picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
    return torch.from_numpy(np.asarray(scaled).reshape(height, width, channels).copy()).permute(2, 0, 1)
