"""The prototype model (Def. 4): one layer of filters as large as the patches, a dictionary learned from them (sec. 4).

It is the `GenerativeConvNet` of one layer whose kernel is the patch. Here it is written as section 4 writes it, in
inner products ⟨I, w_k⟩; the tests hold it equal to the general net.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from core.pictures.training_set import TrainingSet
from core.recipe.state import LearningState
from core.schemas.learning import LayerParams, LearningParams
from core.theory.learning import LearningProgress, learn
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet


@dataclass(frozen=True)
class Prototype:
    """p(I; w) ∝ exp[Σ_k h(⟨I, w_k⟩ + b_k)] q(I) on patches I (M, C, S, S), grey levels about their mean (eq. 7, 8).

    dictionary: w_k, filters and basis functions in one (K, C, S, S), in 1 / grey levels. biases: b_k (K,).
    reference_std: σ of q, in grey levels; the paper sets it to one.
    """

    dictionary: Tensor
    biases: Tensor
    reference_std: float = 1.0

    @classmethod
    def of(cls, net: GenerativeConvNet) -> "Prototype":
        """What a net of one layer is on patches as large as its kernel. ValueError where it has more layers."""
        if len(net.weights) != 1 or net.category_weights is not None:
            raise ValueError(f"a prototype has one layer and sums its filters (Def. 4), not {net.architecture}")
        return cls(net.weights[0].detach(), net.biases[0].detach(), net.architecture.reference_std)

    def responses(self, patches: Tensor) -> Tensor:
        """⟨I, w_k⟩ + b_k. (M, C, S, S) -> (M, K)."""
        return patches.flatten(1) @ self.dictionary.flatten(1).T + self.biases

    def score(self, patches: Tensor) -> Tensor:
        """Σ_k h(⟨I, w_k⟩ + b_k), h(r) = max(r, 0), the exponent of eq. 7. (M, C, S, S) -> (M,)."""
        return self.responses(patches).clamp(min=0).sum(dim=1)

    def activations(self, patches: Tensor) -> Tensor:
        """δ_k(I; w) = 1(⟨I, w_k⟩ + b_k > 0): which of the at most 2^K pieces a patch lies in. -> bool (M, K)."""
        return self.responses(patches) > 0

    def mean(self, activations: Tensor) -> Tensor:
        """σ² Σ_k δ_k w_k, the mean of the Gaussian piece A(δ; w) (eq. 9). bool (M, K) -> (M, C, S, S), grey levels."""
        means = self.reference_std**2 * activations.to(self.dictionary) @ self.dictionary.flatten(1)
        return means.view(-1, *self.dictionary.shape[1:])

    def reconstruct(self, patches: Tensor) -> Tensor:
        """The auto-encoding I -> δ -> σ² Σ_k δ_k w_k. (M, C, S, S) -> (M, C, S, S)."""
        return self.mean(self.activations(patches))

    def step(self, patches: Tensor, step_size: float, noise: Tensor) -> Tensor:
        """I - ε²/2σ² (I - σ² Σ_k δ_k(I; w) w_k) + ε Z (eq. 10, for any σ).

        patches, noise Z ~ N(0, 1) (M, C, S, S); `step_size` ε in grey levels.
        """
        drift = (patches - self.reconstruct(patches)) / self.reference_std**2
        return patches - step_size**2 / 2 * drift + step_size * noise


def prototype_architecture(
    patch_size: int, filters: int, channels: int = 1, reference_std: float = 1.0
) -> Architecture:
    """The shape of the general net that is the prototype model on patches of `patch_size` pixels (Def. 4)."""
    return Architecture((ConvLayer(filters, patch_size),), channels, reference_std)


def dictionary_params(patch_size: int, filters: int, *, seed: int, **settings: object) -> LearningParams:
    """Settings that learn `filters` basis functions by one-step contrastive divergence; `settings` replaces any other.

    They suit pictures of a standard deviation of about 50 grey levels (`standardize` with that contrast).
    """
    chosen: dict[str, object] = {
        "image_size": max(patch_size, 16),  # of pictures, from which patches are cut; not looked at here
        "patch_size": patch_size,
        "layers": (LayerParams(filters=filters, kernel_size=patch_size),),
        "layerwise": False,
        "boundary": "valid",
        "contrastive": True,  # persistent chains of patches hardly cross from the dark ones to the bright
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
    callback: Callable[[LearningProgress, LearningState], bool | None] | None = None,
) -> GenerativeConvNet:
    """Learn w_k and b_k from patches cut anywhere out of pictures (M, C, H, W), by Algorithm 1 -> the net of Def. 4.

    `Prototype.of` reads it, `filter_sheet` makes a picture of its dictionary. ValueError where `params`
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
