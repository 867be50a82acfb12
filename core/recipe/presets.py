"""Named parameter sets (sec. 7). Without torch, because the API lists them."""

from collections.abc import Mapping
from typing import Any

from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams

_EXPERIMENT_1_LAYERS = (
    LayerParams(filters=100, kernel_size=15, stride=3),
    LayerParams(filters=64, kernel_size=5),
    LayerParams(filters=30, kernel_size=3),
)

_EXPERIMENT_2_LAYERS = (
    LayerParams(filters=100, kernel_size=7, stride=2),
    LayerParams(filters=64, kernel_size=5),
    LayerParams(filters=20, kernel_size=3),
)

_SMALL_LAYERS = (
    LayerParams(filters=96, kernel_size=9, stride=3),
    LayerParams(filters=48, kernel_size=3),
    LayerParams(filters=32, kernel_size=3),
)

# The same window of 21 pixels, with a layer that mixes the filters of one place: docs/experiments/one-by-one-layer.md.
_PHOTO_LAYERS = (
    LayerParams(filters=128, kernel_size=9, stride=3),
    LayerParams(filters=64, kernel_size=1),
    LayerParams(filters=64, kernel_size=3),
    LayerParams(filters=32, kernel_size=3),
)

# The measurements behind the parameters: docs/decisions/0004-learning-without-luck.md and 0006-even-light.md.
_QUICK = LearningParams(
    image_size=96,
    layers=_SMALL_LAYERS,
    layerwise=False,
    num_chains=1,
    langevin_steps=2,
    reference_std=10.0,
    contrast=50.0,
    even_light=32.0,
    picture_noise=10.0,
    bounded=True,
    random_lattice=True,
    keep_nearest=True,
    step_size=6.0,
    iterations=400,
    learning_rate=4e-4,
    optimizer="spectral",
)

_PHOTO = _QUICK.model_copy(
    update={
        "image_size": 512,
        "layers": _PHOTO_LAYERS,
        "patch_size": 128,
        "batch_size": 1,
        "even_light": 128.0,
        "langevin_steps": 3,
        "learning_rate": 6e-4,
        "coarse_iterations": 600,
        "iterations": 1500,
        "canvas_iterations": 300,
    }
)

PRESETS: dict[str, LearningParams] = {
    # Experiment 1 as printed: 224 x 224 pixels, 16 chains, L = 10, T = 700 for each of three layers, σ = 1.
    "texture": LearningParams(
        image_size=224, layers=_EXPERIMENT_1_LAYERS, num_chains=16, langevin_steps=10, iterations=700
    ),
    # The net, the size and the chains of Experiment 1, learned as the small presets are: docs/experiments/paper.md.
    "texture-full": _QUICK.model_copy(
        update={
            "image_size": 224,
            "layers": _EXPERIMENT_1_LAYERS,
            "num_chains": 16,
            "even_light": 56.0,
            "langevin_steps": 4,
            "iterations": 700,
            "learning_rate": 2e-4,
            "optimizer": "adam",
        }
    ),
    "texture-cpu": _QUICK.model_copy(
        update={"image_size": 128, "langevin_steps": 4, "iterations": 750, "learning_rate": 4e-4}
    ),
    # A photograph, from its layout to its detail: docs/decisions/0009-windows-of-photographs.md.
    "photo": _PHOTO,
    "photo-large": _PHOTO.model_copy(update={"image_size": 1024, "num_chains": 2, "batch_size": 2, "iterations": 3000}),
    # Experiment 2 as printed, σ = 1 included: one filter over the whole top map stays while layers grow beneath it.
    "object": LearningParams(
        image_size=224,
        layers=_EXPERIMENT_2_LAYERS,
        top="object",
        num_chains=16,
        langevin_steps=10,
        iterations=700,
        initialization="noise",
        boundary="padded",
    ),
    # Wide windows and a coarse level, so that objects are whole: docs/decisions/0007-wide-windows-for-objects.md.
    "object-cpu": LearningParams(
        image_size=96,
        layers=(
            LayerParams(filters=96, kernel_size=14, stride=4),
            LayerParams(filters=64, kernel_size=5, stride=2),
            LayerParams(filters=64, kernel_size=3, stride=2),
            LayerParams(filters=64, kernel_size=3),
        ),
        top="object",
        layerwise=False,
        num_chains=12,
        langevin_steps=3,
        reference_std=15.0,
        picture_noise=15.0,
        bounded=True,
        step_size=8.0,
        coarse_factor=2,
        coarse_iterations=250,
        iterations=80,
        learning_rate=7.5e-4,
        optimizer="spectral",
        weight_decay=60.0,
        initialization="noise",
        boundary="padded",
    ),
    # Experiment 3 as printed: the net of Experiment 1, one-step contrastive divergence, all layers at once, T = 1200.
    "autoencoder": LearningParams(
        image_size=224,
        layers=_EXPERIMENT_1_LAYERS,
        layerwise=False,
        contrastive=True,
        langevin_steps=1,
        step_size=0.7,
        iterations=1200,
        boundary="padded",
    ),
    "autoencoder-cpu": LearningParams(
        image_size=96,
        layers=(
            LayerParams(filters=96, kernel_size=6, stride=2),
            LayerParams(filters=48, kernel_size=3),
            LayerParams(filters=16, kernel_size=3),
        ),
        layerwise=False,
        contrastive=True,
        batch_size=2,
        langevin_steps=1,
        reference_std=8.0,
        picture_noise=8.0,  # without it learning diverged on smooth pictures: docs/experiments/paper.md
        step_size=4.0,
        iterations=1200,
        learning_rate=1e-3,
        boundary="padded",
    ),
    # The prototype model of section 4: a dictionary of patches.
    "prototype": LearningParams(
        image_size=128,
        patch_size=12,
        layers=(LayerParams(filters=64, kernel_size=12),),
        layerwise=False,
        contrastive=True,
        batch_size=64,
        langevin_steps=1,
        reference_std=10.0,
        step_size=6.0,
        contrast=50.0,
        picture_noise=10.0,
        iterations=1000,
        learning_rate=0.01,
        boundary="valid",
    ),
    "quick": _QUICK,
}

DESCRIPTIONS: dict[str, str] = {
    "texture": "Experiment 1 of the paper at its full size, with its settings. For a GPU, or for patience.",
    "texture-full": "Experiment 1, without its spots of false colour. For a GPU, or for patience.",
    "texture-cpu": "A texture of 128 x 128 pixels, learned for longer than by quick: Experiment 1 for two cores.",
    "photo": "A texture at the photograph's own size, 512 x 512 pixels: its fine detail and layout. For two cores.",
    "photo-large": "The same at 1024 x 1024 pixels, from more windows: several times as long.",
    "object": "Experiment 2 of the paper, with its settings: ten or so aligned pictures of an object. For a GPU.",
    "object-cpu": "Experiment 2 for two cores: ten or so aligned pictures of an object, 96 x 96 pixels.",
    "autoencoder": "Experiment 3 of the paper, with its settings: one-step contrastive divergence. For a GPU.",
    "autoencoder-cpu": "Experiment 3 for two cores: pictures of 96 x 96 pixels, to be reconstructed.",
    "prototype": "Section 4: a dictionary of 64 patches of 12 x 12 pixels, learned from patches of your pictures.",
    "quick": "A first look at what can be learned from a texture, 96 x 96 pixels.",
}

# What learning took on two cores of an AMD EPYC with AVX512-BF16: seconds of the whole job. The last two were measured
# in float32 beside other work. prototype and object-cpu were measured on a slower day, at 14.7 and 96 s beside 14.6 of
# quick, to which they are in proportion. A preset that is not here was not measured.
TWO_CORE_SECONDS: dict[str, float] = {
    "quick": 10.0,
    "prototype": 10.0,
    "texture-cpu": 18.0,
    "photo": 87.0,
    "photo-large": 381.0,
    "object-cpu": 66.0,
    "autoencoder-cpu": 90.0,
    "texture": 2419.0,
}


def with_changes(preset: LearningParams, changes: Mapping[str, Any]) -> LearningParams:
    """Return a preset with some of its parameters changed; `learning_rate` is the usual one unless it is among them.

    Raises ValidationError.
    """
    params = LearningParams.model_validate({**preset.model_dump(), **changes})
    if "learning_rate" in changes:
        return params
    return params.model_copy(update={"learning_rate": usual_learning_rate(params, preset)})


def usual_learning_rate(params: LearningParams, preset: LearningParams) -> float:
    """Return the learning rate for `params`, a preset with others of its parameters changed: the preset's, or less.

    A texture that is learned whole, by spectral descent, bears learning_rate x iterations in proportion to its pixels.
    With more, its score leaves that of the chains behind, and its pictures get worse (docs/experiments/
    more-iterations.md). What `preset` bears is the measure; that of `quick` if it learns windows, or by Adam. Pictures
    smaller than the preset's, which were not measured, count as large as its own.
    """
    if not _is_learned_whole_by_spectral_descent(params):
        return preset.learning_rate
    measured = preset if _is_learned_whole_by_spectral_descent(preset) else PRESETS["quick"]
    pixels_ratio = max(1.0, params.image_size / measured.image_size) ** 2
    factor = min(1.0, pixels_ratio * measured.iterations / params.iterations)
    return min(preset.learning_rate, measured.learning_rate * factor)


def _is_learned_whole_by_spectral_descent(params: LearningParams) -> bool:
    return params.is_texture and params.patch_size is None and params.optimizer == "spectral"


FEW = 0.5  # of the iterations of a preset with the same net and optimizer
FEW_ITERATIONS = 100  # if there is no such preset


def few_iterations(params: LearningParams) -> list[str]:
    """Return which of the parameters that count iterations ask for few: with so few, learning has only begun."""
    names = ("coarse_iterations", "iterations", "canvas_iterations")
    net = ("layers", "top", "contrastive", "optimizer")
    alike = [one for one in PRESETS.values() if all(getattr(one, name) == getattr(params, name) for name in net)]

    def is_few(name: str) -> bool:
        usual = min((getattr(one, name) for one in alike), default=FEW_ITERATIONS / FEW)
        return bool(0 < getattr(params, name) < FEW * usual)

    return [name for name in names if is_few(name)]
