"""Turn chains into the pictures that are shown: without the noise of training, in the training pictures' tone."""

from torch import Tensor

from core.engine import Engine
from core.recipe.denoising import denoise
from core.recipe.fine_detail import fine_detail_filter
from core.recipe.tone import Tone
from core.schemas.learning import LearningParams
from core.theory.decoding import basis
from core.theory.model import GenerativeConvNet


def render_chains(
    net: GenerativeConvNet,
    chains: Tensor,
    params: LearningParams,
    engine: Engine | None = None,
    detail_filter: Tensor | None = None,
) -> Tensor:
    """Denoise chains (M̃, C, S', S') and correct their tone -> the same shape, in grey levels about the mean.

    On the torus S' is the pictures' side rounded up to a multiple of the net's stride. detail_filter: see `Tone`.
    """
    clean = _denoised(net, chains, params, engine)
    return Tone.of(clean, params, detail_filter).apply(clean)


def tone_of(
    net: GenerativeConvNet,
    chains: Tensor,
    params: LearningParams,
    engine: Engine | None = None,
    detail_filter: Tensor | None = None,
) -> Tone:
    """Return the tone correction for pictures of a finished model, measured on the first of its chains."""
    if not Tone.applies_to(params):
        return Tone(detail_filter=detail_filter)
    return Tone.of(_denoised(net, chains[:1], params, engine), params, detail_filter)


def detail_filter_of(
    net: GenerativeConvNet, chains: Tensor, params: LearningParams, examples: Tensor, engine: Engine | None = None
) -> Tensor | None:
    """Return the filter of a finished model for fine detail; see `core.recipe.fine_detail`.

    examples (M, C, S, S): training pictures, or windows of them. None for all but textures on the torus that were
    learned under noise.
    """
    if not params.is_texture or params.boundary != "torus" or not params.picture_noise:
        return None
    return fine_detail_filter(render_chains(net, chains, params, engine), examples)


def _denoised(net: GenerativeConvNet, chains: Tensor, params: LearningParams, engine: Engine | None) -> Tensor:
    """Remove the noise of training from chains (M̃, C, S', S') -> the same shape."""
    compute_basis = engine.basis if engine else basis
    return denoise(net, chains, params.picture_noise, params.boundary, params.random_lattice, compute_basis)
