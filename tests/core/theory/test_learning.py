"""Algorithm 1, line by line, as the paper states it."""

from itertools import pairwise

import pytest
import torch
from nets import random_net
from training import pictures, with_

from core.engine import ReferenceEngine
from core.engine.dynamics import Dynamics
from core.engine.reference import run_chains
from core.pictures.training_set import TrainingSet
from core.theory.decoding import encode, top_down
from core.theory.learning import (
    Algorithm1,
    GradientAscent,
    LearningState,
    LikelihoodGradient,
    architecture_of,
    draw_observed,
    first_chains,
    learn,
    start_learning,
)
from core.theory.model import Architecture, ConvLayer, positions

ONE_STAGE = with_(layerwise=False)


def algorithm1(images, params, optimizer=torch.optim.SGD, **options):
    """Algorithm 1 in float64 by the reference engine."""
    set_of_pictures = TrainingSet.of(images.double())
    start = start_learning(set_of_pictures, params)
    net = start.net.double()
    state = LearningState(net, start.chains.double(), optimizer(net.parameters(), lr=0.01), start.generator)
    return Algorithm1(
        params,
        state,
        observe=lambda generator: draw_observed(set_of_pictures, params, generator),
        dynamics=Dynamics(params.step_size, params.boundary),
        update_rule=GradientAscent(),
        engine=ReferenceEngine(),
        **options,
    )


@pytest.mark.parametrize("boundary", ["valid", "torus"])
@pytest.mark.parametrize("iterations_before", [0, 7])
def test_eq21_the_gradient_is_observed_minus_synthesized_and_line6_steps_along_it(boundary, iterations_before):
    """H_obs - H_syn by autograd of mean scores per top position, on chains that are run independently."""
    params = with_(ONE_STAGE, boundary=boundary)
    images = pictures().double()
    algorithm = algorithm1(images, params)
    state = algorithm.state
    for _ in range(iterations_before):
        algorithm.iterate()
    net, generator = state.net, torch.Generator()
    generator.set_state(state.generator.get_state())
    chains = run_chains(net, state.chains, params.langevin_steps, Dynamics(params.step_size, boundary), generator)

    def mean_gradients(images, boundary):
        scores = net.score(images, boundary) / positions(net.feature_maps(images, boundary))
        return torch.autograd.grad(scores.mean(), list(net.parameters()))

    observed, synthesized = mean_gradients(images, "valid"), mean_gradients(chains, boundary)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    gradient = algorithm.iterate()
    torch.testing.assert_close(state.chains, chains, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient.observed.parameters, observed, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient.synthesized.parameters, synthesized, rtol=1e-9, atol=1e-9)
    for parameter, old, obs, syn in zip(net.parameters(), before, observed, synthesized, strict=True):
        torch.testing.assert_close(parameter.detach() - old, 0.01 * (obs - syn), rtol=1e-9, atol=1e-12)
    assert state.iteration == iterations_before + 1


@pytest.mark.parametrize("boundary", ["valid", "torus"])
def test_eq22_on_one_piece_the_contribution_is_the_inner_product_with_the_basis_gradient(boundary):
    """The engine's H_obs - H_syn equals ⟨I_obs - I_syn, ∂B/∂w⟩, B found by deconvolution as a function of w."""
    net = random_net(Architecture((ConvLayer(3, 3, 2), ConvLayer(2, 2)), channels=1), seed=3)
    observed = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    direction = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    synthesized = observed + 1e-4 * direction
    patterns = [encode(net, images, boundary) for images in (observed, synthesized)]
    assert all(torch.equal(one, other) for one, other in zip(*patterns, strict=True))
    count = positions(net.feature_maps(observed, boundary))
    gradient = LikelihoodGradient(*(ReferenceEngine().gradient(net, one, boundary) for one in (observed, synthesized)))
    basis = top_down(net, patterns[0], net.extend(observed, boundary), boundary).basis
    inner = (basis * (observed - synthesized)).sum()
    expected = torch.autograd.grad(inner, list(net.parameters()), allow_unused=True, materialize_grads=True)
    assert any(one.abs().max() > 1e-6 for one in expected)
    differences = zip(gradient.observed.parameters, gradient.synthesized.parameters, strict=True)
    for (obs, syn), one in zip(differences, expected, strict=True):
        torch.testing.assert_close(count * (obs - syn), one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("boundary", ["valid", "torus", "padded"])
def test_eq21_of_a_part_is_the_mean_over_the_windows_that_lie_in_it(boundary):
    """Each unit's own window, cut out: the mean of their scores' gradients is H_obs."""
    params = with_(ONE_STAGE, boundary=boundary)
    algorithm = algorithm1(pictures(), params)
    net, images = algorithm.state.net, pictures().double()
    part = images.clone()
    part[0, :, 5:9, 9:] = torch.nan
    part[1, :, :3] = torch.nan
    window, stride, halo = net.architecture.receptive_field, net.architecture.total_stride, net.architecture.halo
    seen = torch.nn.functional.pad(part, (halo,) * 4) if boundary == "padded" else part
    windows = seen.unfold(2, window, stride).unfold(3, window, stride).movedim(1, 3).flatten(0, 2)
    known = windows[~windows.isnan().flatten(1).any(dim=1)]
    assert 0 < len(known) < len(windows)
    expected = torch.autograd.grad(net.score(known).mean(), list(net.parameters()))
    gradient = algorithm.likelihood_gradient(part, images).observed
    torch.testing.assert_close(gradient.parameters, expected, rtol=1e-9, atol=1e-9)
    assert gradient.score == pytest.approx(net.score(known).mean().item(), rel=1e-9)


def test_an_object_is_not_learned_from_parts():
    params = with_(ONE_STAGE, top="object", boundary="padded")
    part = pictures().double()
    algorithm = algorithm1(part, params)
    part[..., :3] = torch.nan
    with pytest.raises(ValueError, match="object"):
        algorithm.likelihood_gradient(part, pictures().double())


def test_line2_chains_that_start_at_parts_are_finite():
    part = pictures()
    part[..., :5] = torch.nan
    params = with_(initialization="data")
    chains = first_chains(TrainingSet.of(part), params, architecture_of(params, 1), torch.Generator())
    assert torch.isfinite(chains).all()
    assert torch.equal(chains[..., 5:], part[..., 5:])


@pytest.mark.parametrize(("boundary", "side"), [("valid", 17), ("torus", 18)])
def test_line2_chains_start_at_zero_and_on_the_torus_fit_the_stride(boundary, side):
    params = with_(image_size=17, boundary=boundary)
    chains = first_chains(TrainingSet.of(pictures(size=17)), params, architecture_of(params, 1), torch.Generator())
    assert torch.equal(chains, torch.zeros(2, 1, side, side))


def test_line2_chains_can_start_as_reference_noise():
    params = with_(initialization="noise", reference_std=3.0, image_size=64, num_chains=16)
    chains = first_chains(
        TrainingSet.of(pictures()), params, architecture_of(params, 1), torch.Generator().manual_seed(0)
    )
    assert chains.std().item() == pytest.approx(3.0, rel=0.02)


def test_line2_chains_can_start_as_the_pictures_in_turn():
    params = with_(initialization="data", num_chains=5)
    images = pictures(count=2)
    chains = first_chains(TrainingSet.of(images), params, architecture_of(params, 1), torch.Generator())
    assert torch.equal(chains, images[[0, 1, 0, 1, 0]])


def test_line4_persistent_chains_continue_and_contrastive_ones_start_at_the_observed_pictures():
    images = pictures().double()
    for contrastive in (False, True):
        params = with_(ONE_STAGE, boundary="padded", contrastive=contrastive, step_size=1e-9)
        algorithm = algorithm1(images, params)
        start = images if contrastive else algorithm.state.chains.clone()
        sampled = algorithm.sample(images)
        torch.testing.assert_close(sampled, start, rtol=0, atol=1e-6)


def test_an_exception_from_check_interrupt_ends_learning_between_two_langevin_steps():
    class Interrupted(Exception):
        pass

    def interrupt():
        raise Interrupted

    algorithm = algorithm1(pictures(), ONE_STAGE, check_interrupt=interrupt)
    with pytest.raises(Interrupted):
        algorithm.iterate()
    assert algorithm.state.iteration == 0


def test_learn_grows_the_layers_one_by_one_and_reports_each_iteration():
    reported = []
    params = with_(iterations=4)
    state = learn(pictures(), params, callback=lambda progress, _: reported.append(progress))
    assert [progress.step for progress in reported] == list(range(1, 9))
    assert [progress.stage for progress in reported] == [1] * 4 + [2] * 4
    assert all(earlier.fraction < later.fraction for earlier, later in pairwise(reported))
    assert reported[-1].fraction == 1
    assert state.net.architecture == architecture_of(params, channels=1)


def test_learn_continues_from_a_state_as_if_it_had_not_been_stopped():
    params = with_(iterations=6)
    whole = learn(pictures(), params)
    stopped = learn(pictures(), params, callback=lambda progress, _: progress.step == 8)
    assert stopped.stage == 1
    resumed = learn(pictures(), params, state=stopped)
    assert torch.equal(resumed.chains, whole.chains)
    for one, other in zip(resumed.net.parameters(), whole.net.parameters(), strict=True):
        assert torch.equal(one, other)


def test_learn_without_the_recipe_brings_the_chains_nearer_to_the_pictures():
    images = pictures()
    state = learn(images, with_(iterations=50, langevin_steps=10, learning_rate=0.03))
    expected = torch.fft.fft2(images.mean(dim=0)).abs().mean(dim=0)
    spectrum = torch.fft.fft2(state.chains).abs().mean(dim=(0, 1))
    assert torch.corrcoef(torch.stack([spectrum.flatten(), expected.flatten()]))[0, 1] > 0.5
    assert state.chains.std() > 0.3 * images.std()


def test_learning_needs_a_seed():
    with pytest.raises(ValueError, match="seed must be set"):
        learn(pictures(), with_(seed=None))


def test_all_layers_at_once_are_one_stage():
    reported = []
    learn(pictures(), with_(ONE_STAGE, iterations=3), callback=lambda progress, _: reported.append(progress.step))
    assert reported == [1, 2, 3]
