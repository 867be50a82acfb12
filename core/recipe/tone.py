"""The last touch to a picture that is cleaned of its noise: the mean and the contrast of the training pictures."""

from dataclasses import dataclass

from torch import Tensor

from core.schemas.learning import LearningParams

MOST_GAIN = 1.2  # and 1 / 1.2 at least: what is farther off learned badly, and shall show


@dataclass(frozen=True)
class Tone:
    """What clean pictures (N, C, H, W), in grey levels about the training pictures' mean, are off by.

    gain: the contrast that they lack, for the mean σ²B of all clean pictures that may lie under the noise is flatter
    than any of them. most: how far, in grey levels, a channel's mean is moved at most; one picture, a finite sample, is
    never quite as bright as the mean of its density.
    """

    gain: float = 1.0
    most: float = 0.0

    @staticmethod
    def suits(params: LearningParams) -> bool:
        """Whether the mean and the contrast of every picture are known: evenly lit textures that were stretched. Where
        smears take up contrast, to give more of it to the rest harms (docs/decisions/0006-even-light.md).
        """
        texture = params.top == "convolutional" and not params.contrastive and params.patch_size is None
        return texture and params.even_light is not None and params.contrast is not None and params.picture_noise > 0

    @classmethod
    def of(cls, clean: Tensor, params: LearningParams) -> "Tone":
        """What a net's own clean pictures ask for. Nothing where `suits` says no."""
        if not cls.suits(params):
            return cls()
        assert params.contrast is not None
        std = float(means((clean - means(clean)).square()).mean().sqrt())
        gain = min(max(params.contrast / max(std, 1.0), 1 / MOST_GAIN), MOST_GAIN)
        return cls(gain, params.reference_std)

    def give(self, clean: Tensor, mean: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> the same, in the right tone. mean (N, C, 1, 1): of the whole, where these are parts of it."""
        mean = means(clean) if mean is None else mean
        return (clean - mean) * self.gain + mean - mean.clamp(-self.most, self.most)


def means(pictures: Tensor) -> Tensor:
    """Of each channel, (N, C, H, W) -> (N, C, 1, 1), the same on any number of threads.

    Line by line: one sum over all pixels is cut among the threads, and its rounding depends on where.
    """
    return pictures.contiguous().mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
