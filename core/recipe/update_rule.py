"""Line 6 of Algorithm 1 as jobs run it: an optimizer in whitened coordinates, biases centred, the score scaled.

Each of the three is a function of its own; docs/decisions/0004-learning-without-luck.md says why each is there. Weight
decay, on request, is the fourth: docs/decisions/0007-wide-windows-for-objects.md.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from core.engine.parallel import serial_if_small
from core.recipe.adam import Adam
from core.recipe.scaling import Whitening
from core.recipe.schedule import learning_rate, warm_up
from core.recipe.spectral_descent import SpectralDescent
from core.recipe.state import TrainingState
from core.schemas.learning import LearningParams, OptimizerName
from core.theory.learning import LearningState, LikelihoodGradient, Optimizer, set_gradients
from core.theory.model import GenerativeConvNet

OPTIMIZERS: dict[OptimizerName, type[Adam]] = {"adam": Adam, "spectral": SpectralDescent}
SCORE_SCALING = 0.05  # largest change of the score's scale in one iteration, as a logarithm


class ScaledUpdate:
    """The update rule of `core.recipe.learner`: an optimizer's step, its rate set by the schedule and per parameter."""

    def __init__(self, params: LearningParams, whitening: Whitening) -> None:
        self.params, self.whitening = params, whitening

    def apply(self, state: LearningState, gradient: LikelihoodGradient) -> None:
        """Move the weights along H_obs - H_syn (eq. 21)."""
        assert isinstance(state, TrainingState)
        params, net = self.params, state.net
        rate = learning_rate(params, state.iteration, state.learning_rate_scale, state.steady_at)
        state.optimizer.set_rate(rate)
        with serial_if_small(max(net.weights, key=Tensor.numel)):
            set_gradients(net, gradient)
            biases = [bias.detach().clone() for bias in net.biases]
            decay_(net.weights[0], rate * params.weight_decay)
            whitened_step(net, state.optimizer, self.whitening)
            if params.is_texture:
                centre_biases(net, biases)
        if not params.contrastive:  # those chains hardly move, so they say little about the score's scale
            # For a texture the scale slows down with the learning rate, so that the weights can keep up with it.
            speed = rate / params.learning_rate if params.is_texture else warm_up(params, state.iteration)
            scale_score(net, gradient.observed.score, gradient.synthesized.score, speed)


@torch.no_grad()
def decay_(filters: Tensor, share: float) -> None:
    """Take this share of the filters away, apart from the optimizer's step (Loshchilov and Hutter 2019).

    Spectral descent moves them by one length in all directions of their gradient, so what is noise in them stays as
    large as what is learned. With decay the filters are a mean of their last 1 / share moves, in which noise cancels.
    """
    if share:
        filters.mul_(1 - share)


@torch.no_grad()
def whitened_step(net: GenerativeConvNet, optimizer: Optimizer, whitening: Whitening) -> None:
    """Take the optimizer's step with the first layer in the coordinates of its whitening."""
    first = net.weights[0]
    whitening, before, gradient = whitening.to(first), first.clone(), first.grad
    assert gradient is not None
    first.grad = whitening.filters(gradient)
    optimizer.step()
    first.grad = gradient
    first.copy_(before + whitening.filters(first - before))


@torch.no_grad()
def centre_biases(net: GenerativeConvNet, before: Sequence[Tensor]) -> None:
    """Restore the mean over each layer's biases to what it was `before` the step.

    If the chains lag a little behind the pictures, the gradient keeps raising the biases. Adam amplifies such small
    gradients, until every unit is active and f is linear.
    """
    for bias, old in zip(net.biases, before, strict=True):
        bias.sub_((bias - old).mean())


@torch.no_grad()
def scale_score(net: GenerativeConvNet, observed: float, synthesized: float, speed: float) -> None:
    """Multiply f by a factor near 1, up or down as the log-likelihood's gradient f(observed) - f(synthesized) says.

    The contrast of the pictures depends on this one direction. Optimizers move every weight alike and hardly follow it.
    speed: share of SCORE_SCALING, 0 to 1.
    """
    size = abs(observed) + abs(synthesized)
    if 0 < size < math.inf:
        factor = math.exp(SCORE_SCALING * speed * (observed - synthesized) / size)
        net.weights[-1].mul_(factor)  # f is linear in the highest weights and biases taken together
        net.biases[-1].mul_(factor)
