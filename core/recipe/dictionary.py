"""Learn the dictionary of the prototype model (Def. 4) from patches, by one-step contrastive divergence (sec. 4)."""

from collections.abc import Callable

from torch import Tensor

from core.pictures.training_set import TrainingSet
from core.recipe.learner import TrainingProgress, learn
from core.recipe.state import TrainingState
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.theory.model import GenerativeConvNet


def dictionary_params(patch_size: int, filters: int, *, seed: int, **settings: object) -> LearningParams:
    """Return parameters that learn `filters` basis functions; `settings` override any of them.

    They suit pictures with a standard deviation of about 50 grey levels (`standardize` with that contrast).
    """
    chosen: dict[str, object] = {
        "image_size": max(patch_size, 16),  # of the pictures that patches are cut from; not used here
        "patch_size": patch_size,
        "layers": (LayerParams(filters=filters, kernel_size=patch_size),),
        "layerwise": False,
        "boundary": "valid",
        "contrastive": True,  # persistent chains of patches rarely cross from dark patches to bright ones
        "langevin_steps": 1,
        "reference_std": 8.0,
        "picture_noise": 8.0,
        "step_size": 4.0,
        "iterations": 600,
        "learning_rate": 0.01,
        "seed": seed,
    }
    return LearningParams.model_validate(chosen | settings)


def learn_dictionary(
    pictures: Tensor | TrainingSet,
    params: LearningParams,
    callback: Callable[[TrainingProgress, TrainingState], bool | None] | None = None,
) -> GenerativeConvNet:
    """Learn w_k and b_k from patches cut anywhere out of pictures (M, C, H, W); return the net of Def. 4.

    `core.theory.prototype.Prototype.of` reads it, `filter_sheet` draws its dictionary. Raises ValueError if `params`
    describe another model.
    """
    (layer, *more) = params.layers
    if more or params.top != "convolutional" or params.boundary != "valid" or layer.kernel_size != params.side:
        raise ValueError(
            "the prototype model is one layer of filters as large as the patch, on the plane, their responses summed; "
            f"here {len(params.layers)} layers, {layer.kernel_size} pixels for patches of {params.side}, "
            f"{params.boundary}, {params.top}"
        )
    return learn(pictures, params, callback=callback).net
