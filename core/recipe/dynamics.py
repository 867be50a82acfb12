"""The Langevin dynamics of the recipe: within the colours of the training pictures, at random stride phases."""

from core.engine.dynamics import Dynamics
from core.pictures.colour_box import ColourBox
from core.schemas.learning import LearningParams


def dynamics_of(params: LearningParams, box: ColourBox) -> Dynamics:
    """Return how the chains of `params` move; if bounded, within `box` widened by σ."""
    bounds = box.widened(params.reference_std) if params.bounded else None
    return Dynamics(params.step_size, params.boundary, bounds, params.random_lattice)
