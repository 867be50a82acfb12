"""Restore the mean, the contrast and the fine detail of the training pictures in denoised pictures."""

from dataclasses import dataclass

from torch import Tensor

from core.pictures.sums import means
from core.recipe.fine_detail import filtered, reach_of
from core.schemas.learning import LearningParams

MAX_GAIN = 1.2  # and at least 1 / 1.2; larger errors are a failure of learning, which should show


@dataclass(frozen=True)
class Tone:
    """The correction of denoised pictures (N, C, H, W), in grey levels about the training pictures' mean.

    gain: factor on the contrast. The posterior mean σ²B is flatter than the clean pictures that it averages over.
    max_shift: limit in grey levels for moving a channel's mean. A single picture differs from the mean of its density.
    detail_filter: see `core.recipe.fine_detail`; None changes nothing.
    """

    gain: float = 1.0
    max_shift: float = 0.0
    detail_filter: Tensor | None = None

    @property
    def reach(self) -> int:
        """The pixels on every side of a pixel that it depends on."""
        return reach_of(self.detail_filter)

    @staticmethod
    def applies_to(params: LearningParams) -> bool:
        """Return True if the mean and contrast of all pictures are known: for evenly lit textures that were stretched.

        In other pictures smears take up a part of the contrast, and amplifying the rest does harm
        (docs/decisions/0006-even-light.md).
        """
        texture = params.top == "convolutional" and not params.contrastive and not params.fixed_size
        return texture and params.even_light is not None and params.contrast is not None and params.picture_noise > 0

    @classmethod
    def of(cls, clean: Tensor, params: LearningParams, detail_filter: Tensor | None = None) -> "Tone":
        """Measure the correction on a net's own denoised pictures, with the filter that its model has.

        Without `applies_to`, mean and contrast stay.
        """
        if not cls.applies_to(params):
            return cls(detail_filter=detail_filter)
        assert params.contrast is not None
        if detail_filter is not None:
            clean = filtered(clean, detail_filter)
        std = float(means((clean - means(clean)).square()).mean().sqrt())
        gain = min(max(params.contrast / max(std, 1.0), 1 / MAX_GAIN), MAX_GAIN)
        return cls(gain, params.reference_std, detail_filter)

    def apply(self, clean: Tensor, mean: Tensor | None = None) -> Tensor:
        """Correct periodic pictures (N, C, H, W). mean (N, C, 1, 1): of the whole pictures, if these are tiles of them.

        Of tiles, `reach` pixels along each side are not right.
        """
        mean = means(clean) if mean is None else mean
        if self.detail_filter is not None:
            clean = filtered(clean, self.detail_filter)
        return (clean - mean) * self.gain + mean - mean.clamp(-self.max_shift, self.max_shift)
