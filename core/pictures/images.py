"""Between picture files and the tensors of the model.

A picture file is PNG, 8 bits a channel, grey or colour, with or without alpha. A tensor holds grey levels 0 to 255.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from core.pictures.colour_box import ColourBox
from core.pictures.masks import fully_known, known_share, middle_square

SHEET_GAP = 2  # pixels between the pictures of a sheet
WHITE = 255
TOUCHED = 1e-4  # share of what is unknown in a scaled pixel that matters: of a grey level, a fortieth


def read_picture(content: bytes, size: int, channels: int) -> Tensor:
    """A picture file -> (C, size, size) grey levels: the short side scaled to `size`, the middle of the long one kept.

    What is transparent lies on white. `channels` is 1 or 3.
    """
    with Image.open(io.BytesIO(content)) as opened:
        picture = _on_white(opened, channels)
    return _as_tensor(_scaled(picture, size))


@dataclass(frozen=True)
class MaskedPicture:
    """A picture of which a part is unknown. pixels (C, S, S), grey levels, unknown ones white; known (S, S), bool."""

    pixels: Tensor
    known: Tensor


def read_masked_picture(content: bytes, size: int, channels: int) -> MaskedPicture:
    """As `read_picture`, and which pixels are known. What is transparent is unknown, and colours no known pixel.

    Scaling draws on pixels some way off; beside what is unknown a pixel is the mean of the known ones alone, each
    weighted as scaling weighs it.
    """
    with Image.open(io.BytesIO(content)) as opened:
        picture, share = _on_white(opened, channels), known_share(opened)
    known = fully_known(share, size)
    pixels = np.array(_scaled(picture, size), dtype=np.float32).reshape(size, size, channels)
    box = middle_square(*picture.size)
    weight = np.asarray(share.resize((size, size), Image.Resampling.LANCZOS, box=box))
    touched = known & (np.abs(weight - 1) > TOUCHED)
    for channel, band in enumerate(picture.split()):
        of_known = Image.fromarray(np.asarray(band, dtype=np.float32) * np.asarray(share))
        scaled = np.asarray(of_known.resize((size, size), Image.Resampling.LANCZOS, box=box))
        pixels[touched, channel] = (scaled[touched] / weight[touched]).round().clip(0, WHITE)
    pixels[~known] = WHITE
    return MaskedPicture(_channels_first(pixels), torch.from_numpy(known))


def _on_white(opened: Image.Image, channels: int) -> Image.Image:
    """The picture, grey or in colour, what is transparent laid on white."""
    picture = opened.convert("RGBA" if channels == 3 else "LA")
    ground = Image.new(picture.mode, picture.size, (WHITE,) * len(picture.getbands()))
    picture = (
        Image.alpha_composite(ground, picture)
        if channels == 3
        else Image.composite(picture, ground, picture.getchannel("A"))
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
    """How grey levels were prepared for learning: (level - mean) * gain. mean (C,), in grey levels.

    colours: what holds the colours of the training pictures, so prepared; None where it is not known.
    """

    mean: Tensor
    gain: float = 1.0
    colours: ColourBox | None = None

    @property
    def box(self) -> ColourBox:
        """What a chain may be confined to: the colours of the training pictures, or all that there are."""
        mean = self.mean[:, None, None]
        return self.colours or ColourBox(-mean * self.gain, (WHITE - mean) * self.gain)

    def standardize(self, pictures: Tensor, own_mean: bool = False) -> Tensor:
        """Return (pictures - mean) * gain for grey levels (N, C, H, W). own_mean: subtract each picture's own mean."""
        if own_mean:
            pictures = pictures - pictures.mean(dim=(2, 3), keepdim=True) + self.mean.to(pictures)[:, None, None]
        return (pictures - self.mean.to(pictures)[:, None, None]) * self.gain

    def to_grey_levels(self, images: Tensor) -> Tensor:
        """What `apply` gave, or a model made -> grey levels (N, C, H, W)."""
        return images / self.gain + self.mean.to(images)[:, None, None]


def standardize(pictures: Tensor, contrast: float | None = None, own_mean: bool = False) -> tuple[Tensor, Levels]:
    """Subtract each channel's mean (sec. 7), and stretch to a standard deviation of `contrast` where one is given.

    pictures (N, C, H, W) grey levels -> the same about zero, and how to come back. own_mean: from each its own mean.
    """
    mean = pictures.mean(dim=(0, 2, 3))
    centred = Levels(mean).standardize(pictures, own_mean)
    gain = gain_for(float(centred.square().mean().sqrt()), contrast)
    stretched = centred * gain
    colours = stretched.movedim(1, 0).flatten(1)
    return stretched, Levels(mean, gain, ColourBox.enclosing(stretched, colours @ colours.T))


def gain_for(std: float, contrast: float | None) -> float:
    """The factor that stretches pictures of `std` grey levels to `contrast`, 1 where none is given.

    A picture flatter than one grey level is stretched as if it had one: noise is not to become a texture.
    """
    return 1.0 if contrast is None else contrast / max(std, 1.0)


def to_pixels(images: Tensor, levels: Levels) -> Tensor:
    """What `standardize` gave, or a sample of its model -> bytes to look at (N, C, H, W), cut to 0..255."""
    return to_bytes(levels.to_grey_levels(images.detach().cpu()))


def to_bytes(pictures: Tensor) -> Tensor:
    """Grey levels, rounded and cut to 0..255."""
    return pictures.round().clamp(0, WHITE).to(torch.uint8)


def write_picture(pixels: Tensor) -> bytes:
    """(C, H, W) bytes -> a PNG file."""
    array = pixels.permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array).save(buffer, format="PNG")
    return buffer.getvalue()


def sheet(pictures: Sequence[Tensor], columns: int | None = None, magnify: int = 1) -> Tensor:
    """Pictures (C, H, W) side by side, in rows, each in a place of the largest's size -> one (C, H', W') on white."""
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
    """First-layer filters (K, C, k, k) as pictures, each stretched about mid-grey -> one (C, H, W) of bytes."""
    weight = weight.detach().cpu().float()
    if weight.shape[1] not in (1, 3):
        weight = weight.mean(dim=1, keepdim=True)
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    pixels = (weight / largest * 127 + 128).round().to(torch.uint8)
    return sheet(list(pixels), magnify=max(1, 45 // weight.shape[-1]))


def resize_periodic(pixels: Tensor, height: int, width: int) -> Tensor:
    """A periodic picture (C, H, W) resampled to another size, so that it is still periodic -> (C, height, width).

    Bands of the picture's own continuation stand around it while it is resampled, then fall away.
    """
    if pixels.shape[-2:] == (height, width):
        return pixels
    channels = pixels.shape[0]
    band = 16
    rows = torch.arange(-band, pixels.shape[1] + band) % pixels.shape[1]
    columns = torch.arange(-band, pixels.shape[2] + band) % pixels.shape[2]
    array = pixels[:, rows][:, :, columns].permute(1, 2, 0).numpy()
    picture = Image.fromarray(array.squeeze(2) if channels == 1 else array)
    box = (band, band, band + pixels.shape[2], band + pixels.shape[1])
    scaled = picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
    return torch.from_numpy(np.asarray(scaled).reshape(height, width, channels).copy()).permute(2, 0, 1)
