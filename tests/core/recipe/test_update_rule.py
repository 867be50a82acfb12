"""The update rule: Adam in whitened coordinates, biases centred, the score scaled."""

import math

import pytest
import torch
from nets import random_net
from training import pictures, with_

from core.recipe import update_rule
from core.recipe.adam import Adam
from core.recipe.learner import Learner
from core.recipe.update_rule import SCORE_SCALING, centre_biases, scale_score, whitened_step
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.theory.model import Architecture, ConvLayer, positions

ONE_CHAIN = LearningParams(
    image_size=28,
    layers=tuple(LayerParams(filters=filters, kernel_size=size) for filters, size in ((12, 5), (10, 3), (8, 3))),
    layerwise=False,
    reference_std=8.0,
    num_chains=1,
    boundary="valid",
    iterations=100,
    seed=1,
)


def correlated(count=3, channels=2, size=28):
    """Soft shapes with faint detail, as photographs have: most of their variance lies in slow changes."""
    rough = torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    soft = torch.nn.functional.avg_pool2d(rough, 7, stride=1, padding=3)
    images = 300 * soft + 5 * rough
    return images - images.mean(dim=(0, 2, 3), keepdim=True)


def small_net():
    return random_net(Architecture((ConvLayer(3, 3), ConvLayer(2, 2)), channels=1), seed=3)


def test_scaling_the_score_multiplies_f_by_one_factor_everywhere():
    net, images = small_net(), torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    before = net.score(images).detach()
    scale_score(net, observed=3.0, synthesized=1.0, speed=0.5)
    factor = math.exp(SCORE_SCALING * 0.5 * (3.0 - 1.0) / 4.0)
    torch.testing.assert_close(net.score(images).detach(), factor * before, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("observed", "synthesized"), [(0.0, 0.0), (math.inf, 1.0), (math.nan, 1.0)])
def test_a_score_without_a_finite_size_is_not_scaled(observed, synthesized):
    net = small_net()
    before = net.weights[-1].detach().clone()
    scale_score(net, observed, synthesized, speed=1.0)
    assert torch.equal(net.weights[-1], before)


def test_centring_keeps_each_layers_mean_bias_and_the_differences_within_it():
    net = small_net()
    before = [bias.detach().clone() for bias in net.biases]
    with torch.no_grad():
        for bias in net.biases:
            bias += torch.arange(len(bias)) + 5.0
    centre_biases(net, before)
    for bias, old in zip(net.biases, before, strict=True):
        steps = torch.arange(len(bias), dtype=torch.float64)
        torch.testing.assert_close(bias.detach() - old, steps - steps.mean(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("brighter", [True, False])
def test_an_update_scales_the_score_towards_the_likelier_size(brighter):
    """If the pictures score higher than the chains, f grows, by the same factor everywhere; else it shrinks."""
    learner = Learner(pictures(), with_(learning_rate=1e-12, langevin_steps=1, step_size=1e-6, layerwise=False))
    learner.state.iteration = learner.params.iterations // 2  # warm
    net = learner.state.net
    learner.state.chains = (0.5 if brighter else 2.0) * pictures()

    def per_position(images, boundary):
        return net.score(images, boundary).mean() / positions(net.feature_maps(images, boundary))

    with torch.no_grad():
        before = net.score(pictures())
        likelier = per_position(pictures(), "valid") > per_position(learner.state.chains, "torus")
    learner.update()
    factors = net.score(pictures()).detach() / before
    assert torch.allclose(factors, factors[0].expand_as(factors), rtol=1e-4)
    assert (factors[0] > 1) == likelier
    assert abs(factors[0].log()) <= SCORE_SCALING
    assert factors[0] != 1


def test_the_scaling_falls_with_the_learning_rate():
    stretched = {}
    for iteration in (4, 7):
        params = with_(learning_rate=1e-12, iterations=8, langevin_steps=1, step_size=1e-6, layerwise=False)
        learner = Learner(pictures(), params)
        learner.state.iteration, learner.state.chains = iteration, 0.5 * pictures()
        rate, before = learner.learning_rate, learner.state.net.weights[-1].detach().double().clone()
        learner.update()
        factor = (learner.state.net.weights[-1].detach().double() / before).median()
        stretched[iteration] = (factor - 1).abs().item() / rate
    assert stretched[7] == pytest.approx(stretched[4], rel=0.05)


@pytest.mark.parametrize("optimizer", ["adam", "spectral"])
def test_weight_decay_takes_its_share_of_the_first_filters_and_of_nothing_else(optimizer):
    plain, decayed = (
        Learner(pictures(), with_(learning_rate=0.01, layerwise=False, optimizer=optimizer, weight_decay=decay))
        for decay in (0.0, 20.0)
    )
    for learner in (plain, decayed):
        learner.state.iteration = learner.params.iterations // 2  # warm
    share = 20.0 * plain.learning_rate
    before = plain.state.net.weights[0].detach().clone()
    plain.update()
    decayed.update()
    (first, *others), (same_first, *same_others) = (list(one.state.net.parameters()) for one in (plain, decayed))
    torch.testing.assert_close(first - same_first, share * before)
    assert share > 0.05
    for one, other in zip(others, same_others, strict=True):
        assert torch.equal(one, other)


def test_an_update_keeps_the_mean_of_a_textures_biases_and_of_no_others(monkeypatch):
    monkeypatch.setattr(update_rule, "SCORE_SCALING", 0.0)
    for settings, keep in (({}, True), ({"contrastive": True, "boundary": "padded"}, False)):
        learner = Learner(pictures(), with_(learning_rate=0.01, layerwise=False, **settings))
        before = [bias.detach().clone() for bias in learner.state.net.biases]
        for _ in range(3):
            learner.update()
        for bias, old in zip(learner.state.net.biases, before, strict=True):
            moved = bias.detach() - old
            assert moved.abs().max() > 1e-4
            assert (moved.mean().abs() < 1e-6) == keep


@pytest.mark.parametrize("contrastive", [False, True])
def test_the_step_is_adams_in_the_whitened_coordinates_of_the_first_layer(contrastive):
    """w = v A: the chain rule is autograd's, Adam is written out; gradients of a made-up objective, three steps."""
    learner = Learner(correlated(), ONE_CHAIN.model_copy(update={"contrastive": contrastive}))
    net = learner.state.net.double()
    optimizer = Adam(net, [1.0 + index for index, _ in enumerate(net.parameters())])
    optimizer.set_rate(0.01)
    inputs = net.weights[0][0].numel()
    whitened = learner.whitening.matrix, learner.whitening.inverse
    assert (whitened == (None, None)) == contrastive
    matrix, inverse = (torch.eye(inputs).double() if one is None else one.double() for one in whitened)
    parameters = list(net.parameters())
    places = [parameter.detach().clone() for parameter in parameters]
    places[0] = places[0].flatten(1) @ inverse  # v
    means, squares = ([torch.zeros_like(one) for one in places] for _ in range(2))
    for step in range(1, 4):
        for index, parameter in enumerate(parameters):
            parameter.grad = torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(10 * step + index), dtype=torch.float64
            )
            gradient = parameter.grad.clone()
            if index == 0:
                coordinates = places[0].clone().requires_grad_()
                (gradient,) = torch.autograd.grad(
                    ((coordinates @ matrix).view_as(gradient) * gradient).sum(), coordinates
                )
            means[index] = 0.5 * means[index] + 0.5 * gradient
            squares[index] = 0.99 * squares[index] + 0.01 * gradient**2
            mean, square = means[index] / (1 - 0.5**step), squares[index] / (1 - 0.99**step)
            moved = 0.01 * (1 + index) * mean / (square.sqrt() + 1e-8)
            if parameter.ndim == 1 and not contrastive:  # the biases of a texture's layer, which keep their mean
                moved = moved - moved.mean()
            places[index] = places[index] - moved
        given = parameters[0].grad.clone()
        biases = [bias.detach().clone() for bias in net.biases]
        whitened_step(net, optimizer, learner.whitening)
        if not contrastive:
            centre_biases(net, biases)
        assert torch.equal(parameters[0].grad, given)  # the gradient of the filters is left as it was
        for index, (parameter, expected) in enumerate(zip(parameters, places, strict=True)):
            filters = (expected @ matrix).view_as(parameter) if index == 0 else expected
            torch.testing.assert_close(parameter.detach(), filters, rtol=1e-5, atol=1e-5)


def test_each_parameter_moves_at_its_own_scale_times_the_learning_rate():
    learner = Learner(correlated().float(), ONE_CHAIN)
    net, optimizer = learner.state.net, learner.state.optimizer
    assert len(set(optimizer.scales)) > 3
    learner.state.iteration = 50
    rate = learner.learning_rate
    learner.update()
    assert optimizer.rate == pytest.approx(rate, rel=1e-6)
    again = Adam(net, optimizer.scales)  # whose first step moves each weight by its rate
    again.set_rate(rate)
    before = [one.detach().clone() for one in net.parameters()]
    again.step()
    moved = [(one.detach() - old).abs().max().item() for one, old in zip(net.parameters(), before, strict=True)]
    assert moved == pytest.approx([rate * scale for scale in optimizer.scales], rel=1e-3)
