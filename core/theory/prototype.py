"""The prototype model (Def. 4): one layer of filters as large as the patches, a dictionary learned from them (sec. 4).

It equals the `GenerativeConvNet` of one layer whose kernel covers the patch. Here it is written as in section 4, with
inner products ⟨I, w_k⟩; the tests compare the two.
"""

from dataclasses import dataclass

from torch import Tensor

from core.theory.langevin import drift_factor
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet


@dataclass(frozen=True)
class Prototype:
    """p(I; w) ∝ exp[Σ_k h(⟨I, w_k⟩ + b_k)] q(I) on patches I (M, C, S, S), grey levels about their mean (eq. 7, 8).

    dictionary: w_k, both filters and basis functions (K, C, S, S), in 1 / grey levels. biases: b_k (K,).
    reference_std: σ of q, in grey levels; the paper sets it to one.
    """

    dictionary: Tensor
    biases: Tensor
    reference_std: float = 1.0

    @classmethod
    def of(cls, net: GenerativeConvNet) -> "Prototype":
        """Return a net of one layer as a prototype model. Raises ValueError if the net has another form."""
        if len(net.weights) != 1 or net.category_weights is not None:
            raise ValueError(f"a prototype has one layer and sums its filters (Def. 4), not {net.architecture}")
        return cls(net.weights[0].detach(), net.biases[0].detach(), net.architecture.reference_std)

    def responses(self, patches: Tensor) -> Tensor:
        """Return ⟨I, w_k⟩ + b_k. (M, C, S, S) -> (M, K)."""
        return patches.flatten(1) @ self.dictionary.flatten(1).T + self.biases

    def score(self, patches: Tensor) -> Tensor:
        """Return Σ_k h(⟨I, w_k⟩ + b_k), h(r) = max(r, 0), the exponent of eq. 7. (M, C, S, S) -> (M,)."""
        return self.responses(patches).clamp(min=0).sum(dim=1)

    def activations(self, patches: Tensor) -> Tensor:
        """Return δ_k(I; w) = 1(⟨I, w_k⟩ + b_k > 0), which identifies the piece of each patch. -> bool (M, K)."""
        return self.responses(patches) > 0

    def mean(self, activations: Tensor) -> Tensor:
        """Return σ² Σ_k δ_k w_k, the mean of the Gaussian piece A(δ; w) (eq. 9). bool (M, K) -> (M, C, S, S)."""
        means = self.reference_std**2 * activations.to(self.dictionary) @ self.dictionary.flatten(1)
        return means.view(-1, *self.dictionary.shape[1:])

    def reconstruct(self, patches: Tensor) -> Tensor:
        """Encode and decode: I -> δ -> σ² Σ_k δ_k w_k. (M, C, S, S) -> (M, C, S, S)."""
        return self.mean(self.activations(patches))

    def step(self, patches: Tensor, step_size: float, noise: Tensor) -> Tensor:
        """Return I - ε²/2σ² (I - σ² Σ_k δ_k(I; w) w_k) + ε Z (eq. 10, for any σ).

        patches, noise Z ~ N(0, 1) (M, C, S, S); `step_size` ε in grey levels.
        """
        drift = (patches - self.reconstruct(patches)) / self.reference_std**2
        return patches - drift_factor(step_size) * drift + step_size * noise


def prototype_architecture(
    patch_size: int, filters: int, channels: int = 1, reference_std: float = 1.0
) -> Architecture:
    """Return the architecture of the general net that equals the prototype model (Def. 4)."""
    return Architecture((ConvLayer(filters, patch_size),), channels, reference_std)
