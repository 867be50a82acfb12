"""Turn chains into the pictures that are shown: without the noise of training, in the training pictures' tone."""

from torch import Tensor

from core.engine import Engine
from core.recipe.denoising import denoise
from core.recipe.tone import Tone
from core.schemas.learning import LearningParams
from core.theory.decoding import basis
from core.theory.model import GenerativeConvNet


def render_chains(
    net: GenerativeConvNet, chains: Tensor, params: LearningParams, engine: Engine | None = None
) -> Tensor:
    """Denoise chains (M̃, C, S', S') and correct their tone -> the same shape, in grey levels about the mean.

    On the torus S' is the pictures' side rounded up to a multiple of the net's stride.
    """
    clean = _denoised(net, chains, params, engine)
    return Tone.of(clean, params).apply(clean)


def tone_of(net: GenerativeConvNet, chains: Tensor, params: LearningParams, engine: Engine | None = None) -> Tone:
    """Return the tone correction for pictures of a finished model, measured on the first of its chains."""
    return Tone.of(_denoised(net, chains[:1], params, engine), params) if Tone.applies_to(params) else Tone()


def _denoised(net: GenerativeConvNet, chains: Tensor, params: LearningParams, engine: Engine | None) -> Tensor:
    compute_basis = engine.basis if engine else basis
    return denoise(net, chains, params.picture_noise, params.boundary, params.random_lattice, compute_basis)
