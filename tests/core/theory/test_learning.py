from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from nets import random_net

import core.theory.learning
from core.engine import ReferenceEngine
from core.engine.dynamics import Dynamics
from core.engine.reference import run_chains
from core.pictures.training_set import TrainingSet
from core.recipe.checkpoint import load_checkpoint, save_checkpoint
from core.recipe.state import LearningState
from core.schemas.learning import LayerParams, LearningParams
from core.theory.decoding import encode
from core.theory.learning import (
    FINAL_LEARNING_RATE,
    MAX_RECOVERIES,
    RECOVERY_SCALE,
    STRETCH,
    WARM_UP,
    Learner,
    LearningDiverged,
    architecture_of,
    first_chains,
    learn,
)
from core.theory.model import Architecture, ConvLayer, positions

CPU = torch.device("cpu")
PARAMS = LearningParams(
    image_size=16,
    layers=(LayerParams(filters=4, kernel_size=5, stride=2), LayerParams(filters=3, kernel_size=3)),
    num_chains=2,
    langevin_steps=2,
    iterations=30,
    learning_rate=1e-3,
    seed=5,
)
STEPS = PARAMS.stages * PARAMS.iterations


def with_(params=PARAMS, **settings):
    return params.model_copy(update=settings)


def pictures(count=2, channels=1, size=16):
    """Slanted stripes of about 20 grey levels with a little noise, about their mean."""
    generator = torch.Generator().manual_seed(1)
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    stripes = 20 * torch.sin((row + column) * 0.8).expand(count, channels, size, size)
    images = stripes + 5 * torch.randn(stripes.shape, generator=generator)
    return images - images.mean(dim=(0, 2, 3), keepdim=True)


def assert_same(one: LearningState, other: LearningState):
    """Bit for bit: weights, chains, optimiser, generator and where learning stands."""
    here, there = one.snapshot(), other.snapshot()
    assert here.numbers == there.numbers
    assert here.tensors.keys() == there.tensors.keys()
    different = [name for name, value in here.tensors.items() if not torch.equal(value, there.tensors[name])]
    assert different == []


def stop_at(step):
    return lambda progress, _: progress.step == step


def through_snapshot(state, params):
    architecture = architecture_of(params, state.chains.shape[1]).truncated(len(state.net.weights))
    return LearningState.restored(state.snapshot(), architecture, CPU)


def through_checkpoint_file(state, params):
    return load_checkpoint(save_checkpoint(state, params), CPU)


def kill(state):
    """Switch every unit of the first layer off."""
    with torch.no_grad():
        state.net.biases[0].fill_(-1e6)


def blow_up(state):
    """Filters so strong that each Langevin step throws the chains further."""
    with torch.no_grad():
        state.net.weights[0].normal_(0, 1000, generator=torch.Generator().manual_seed(0))


def poison(state):
    with torch.no_grad():
        state.net.weights[0][0, 0, 0, 0] = float("nan")


class Sabotage:
    """A callback that spoils the state once, after `step`, and keeps what it was told."""

    def __init__(self, spoil, step, stop=None):
        self.spoil, self.step, self.stop = spoil, step, stop
        self.told, self.done = [], False

    def __call__(self, progress, state):
        self.told.append(progress)
        if progress.step == self.step and not self.done:
            self.spoil(state)
            self.done = True
        return progress.step == self.stop and progress.recoveries == 0


@pytest.mark.parametrize("boundary", ["valid", "torus"])
@pytest.mark.parametrize("iterations_before", [0, 7])
def test_eq21_an_updates_gradient_is_observed_minus_synthesized(boundary, iterations_before, monkeypatch):
    """H_obs - H_syn of Algorithm 1, by autograd of mean scores per top position, on chains run independently."""
    monkeypatch.setattr(core.theory.learning, "STRETCH", 0.0)  # Adam's step alone
    params = with_(boundary=boundary, layerwise=False)
    images = pictures().double()
    learner = Learner(images, params, engine=ReferenceEngine())
    learner.state.net.double()
    learner.state.chains = learner.state.chains.double()
    for _ in range(iterations_before):
        learner.update()
    net, generator = learner.state.net, torch.Generator()
    generator.set_state(learner.state.generator.get_state())
    dynamics = Dynamics(params.step_size, boundary)
    chains = run_chains(net, learner.state.chains, params.langevin_steps, dynamics, generator)

    def mean_gradients(pictures, boundary):
        maps = net.feature_maps(pictures, boundary)[-1]
        scores = net.score(pictures, boundary) / (maps.shape[2] * maps.shape[3])
        return torch.autograd.grad(scores.mean(), list(net.parameters()))

    observed, synthesized = mean_gradients(images, "valid"), mean_gradients(chains, boundary)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    learner.update()
    torch.testing.assert_close(learner.state.chains, chains, rtol=1e-9, atol=1e-9)
    for parameter, obs, syn in zip(net.parameters(), observed, synthesized, strict=True):
        torch.testing.assert_close(-parameter.grad, obs - syn, rtol=1e-9, atol=1e-9)
    if iterations_before == 0:  # the first step has no momentum: every weight ascends
        for index, (parameter, old, obs, syn) in enumerate(
            zip(net.parameters(), before, observed, synthesized, strict=True)
        ):
            step, slope = parameter.detach() - old, obs - syn
            if index == 0:  # the first layer steps in the coordinates of its whitening
                whitening = learner._whitening.to(step)
                step, slope = whitening.coordinates(step), whitening.filters(slope)
            assert (step * slope >= -1e-12).all()
            assert not torch.equal(parameter.detach(), old)


@pytest.mark.parametrize("boundary", ["valid", "torus"])
def test_eq22_on_one_piece_the_contribution_is_the_inner_product_with_the_basis_gradient(boundary):
    """∂/∂w [f(I_obs) - f(I_syn)] = ⟨I_obs - I_syn, ∂B/∂w⟩, B as a function of w."""
    net = random_net(Architecture((ConvLayer(3, 3, 2), ConvLayer(2, 2)), channels=1), seed=3)
    observed = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    direction = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    synthesized = observed + 1e-4 * direction
    patterns = [encode(net, images, boundary) for images in (observed, synthesized)]
    assert all(torch.equal(one, other) for one, other in zip(*patterns, strict=True))
    parameters = list(net.parameters())
    difference = net.score(observed, boundary) - net.score(synthesized, boundary)
    contribution = torch.autograd.grad(difference.sum(), parameters)
    images = observed.clone().requires_grad_()
    (basis_of_w,) = torch.autograd.grad(net.score(images, boundary).sum(), images, create_graph=True)
    inner = (basis_of_w * (observed - synthesized)).sum()
    expected = torch.autograd.grad(inner, parameters, allow_unused=True, materialize_grads=True)
    for one, other in zip(contribution, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_algorithm1_learns_the_pictures_own_pattern():
    """The chains begin blank and end with much of the pictures' contrast and their stripes."""
    images = pictures()
    state = learn(images, with_(iterations=80, langevin_steps=10))
    stripes = images.mean(dim=0)
    assert state.chains.std() > 0.3 * images.std()
    spectrum = torch.fft.fft2(state.chains).abs().mean(dim=(0, 1))
    expected = torch.fft.fft2(stripes).abs().mean(dim=0)
    assert torch.corrcoef(torch.stack([spectrum.flatten(), expected.flatten()]))[0, 1] > 0.5


@pytest.mark.parametrize("boundary", ["valid", "torus"])
@pytest.mark.parametrize("layerwise", [True, False])
def test_learning_tells_of_each_iteration_in_order(layerwise, boundary):
    params = with_(iterations=4, layerwise=layerwise, boundary=boundary)
    told = []
    state = learn(pictures(), params, callback=lambda progress, _: told.append(progress))
    assert [progress.step for progress in told] == list(range(1, params.stages * 4 + 1))
    assert [(progress.stage, progress.iteration) for progress in told] == [
        (stage, iteration) for stage in range(1, params.stages + 1) for iteration in range(1, 5)
    ]
    assert told[-1].fraction == 1
    assert all(earlier.fraction < later.fraction for earlier, later in pairwise(told))
    assert state.net.architecture == architecture_of(params, channels=1)
    assert {progress.recoveries for progress in told} == {0}


def test_the_learning_rate_warms_up_then_falls_along_a_cosine_over_each_stage():
    told = []
    learn(pictures(), PARAMS, callback=lambda progress, _: told.append(progress))
    for stage in (1, 2):
        rates = [progress.learning_rate for progress in told if progress.stage == stage]
        warm = round(WARM_UP * PARAMS.iterations)
        assert all(earlier < later for earlier, later in pairwise(rates[: warm - 1]))
        assert all(later < earlier for earlier, later in pairwise(rates[warm - 1 :]))
        assert rates[-1] == pytest.approx(PARAMS.learning_rate * FINAL_LEARNING_RATE)
        assert rates[14] == pytest.approx(PARAMS.learning_rate * (1 + FINAL_LEARNING_RATE) / 2)


def test_a_callback_that_returns_true_stops_learning_there():
    told = []

    def callback(progress, _):
        told.append(progress.step)
        return progress.step == 7

    state = learn(pictures(), PARAMS, callback=callback)
    assert told == list(range(1, 8))
    assert state.iteration == 7


def test_an_interruption_within_the_langevin_steps_ends_learning():
    class StopNowError(Exception):
        pass

    def stop():
        raise StopNowError

    learner = Learner(pictures(), PARAMS)
    learner.interrupt = stop
    with pytest.raises(StopNowError):
        next(learner.iterate())


def test_the_seed_decides_everything():
    params = with_(iterations=10)
    one, same = learn(pictures(), params), learn(pictures(), params)
    assert_same(one, same)
    other = learn(pictures(), with_(params, seed=6))
    assert not torch.equal(one.chains, other.chains)
    assert not torch.equal(one.net.weights[0], other.net.weights[0])


def test_the_global_generator_has_no_say():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        one = learn(pictures(), with_(iterations=10))
        torch.manual_seed(2)
        assert_same(one, learn(pictures(), with_(iterations=10)))


def test_learning_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    state = learn(pictures(), PARAMS, callback=Sabotage(kill, step=10))
    assert state.recoveries == 1
    through_checkpoint_file(state, PARAMS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("brighter", [True, False])
def test_the_score_is_stretched_towards_the_likelier_size(brighter):
    """Where the pictures score higher than the chains, f grows, by the same factor everywhere; else it shrinks."""
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
    assert abs(factors[0].log()) <= STRETCH
    assert factors[0] != 1


def test_the_stretch_falls_as_the_learning_rate_does():
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


def test_a_textures_biases_move_but_keep_their_mean_over_each_layer(monkeypatch):
    """Else learning raises them until all units fire."""
    monkeypatch.setattr(core.theory.learning, "STRETCH", 0.0)
    for settings, keep in (({}, True), ({"contrastive": True, "boundary": "padded"}, False)):
        learner = Learner(pictures(), with_(learning_rate=0.01, layerwise=False, **settings))
        before = [bias.detach().clone() for bias in learner.state.net.biases]
        for _ in range(3):
            learner.update()
        for bias, old in zip(learner.state.net.biases, before, strict=True):
            moved = bias.detach() - old
            assert moved.abs().max() > 1e-4
            assert (moved.mean().abs() < 1e-6) == keep


def test_a_seed_must_be_set():
    with pytest.raises(ValueError, match="seed must be set"):
        learn(pictures(), with_(seed=None))


INTERRUPTIONS = [1, 25, 26, 30, 31, 60]  # 30 ends the first stage, 60 the second


@pytest.fixture(scope="module")
def never_stopped():
    return learn(pictures(), PARAMS)


@pytest.mark.parametrize("resume", [through_snapshot, through_checkpoint_file])
@pytest.mark.parametrize("step", INTERRUPTIONS)
def test_resumed_learning_ends_bit_identical_to_one_never_stopped(never_stopped, step, resume):
    stopped = learn(pictures(), PARAMS, callback=stop_at(step))
    assert stopped.iteration + stopped.stage * PARAMS.iterations == step
    assert_same(learn(pictures(), PARAMS, state=resume(stopped, PARAMS)), never_stopped)


@pytest.mark.parametrize(
    "settings",
    [
        {"layerwise": False},
        {"boundary": "valid"},
        {"initialization": "noise"},
        {"initialization": "data"},
        {"num_chains": 1, "langevin_steps": 1},
    ],
    ids=str,
)
def test_resumed_learning_is_bit_identical_under_other_settings(settings):
    params = with_(iterations=12, **settings)
    whole = learn(pictures(), params)
    for step in (5, 12):
        stopped = learn(pictures(), params, callback=stop_at(step))
        assert_same(learn(pictures(), params, state=through_checkpoint_file(stopped, params)), whole)


def test_learning_resumed_again_and_again_ends_bit_identical(never_stopped):
    state = None
    for step in range(7, STEPS, 7):
        state = learn(pictures(), PARAMS, state=state, callback=stop_at(step))
        state = through_checkpoint_file(state, PARAMS)
    assert_same(learn(pictures(), PARAMS, state=state), never_stopped)


def test_a_checkpoint_does_not_change_with_the_learning_that_goes_on(never_stopped):
    """Snapshots are copies: taken in passing, read only later."""
    kept = []

    def keep(progress, state):
        if progress.step == 10:
            kept.append(state.snapshot())

    learn(pictures(), PARAMS, callback=keep)
    resumed = LearningState.restored(kept[0], architecture_of(PARAMS, 1).truncated(1), CPU)
    assert_same(learn(pictures(), PARAMS, state=resumed), never_stopped)


@pytest.mark.parametrize("layerwise", [True, False])
def test_finished_learning_goes_further_in_its_last_stage_when_more_iterations_are_asked_for(layerwise):
    params = with_(iterations=4, layerwise=layerwise)
    finished = through_checkpoint_file(learn(pictures(), params), params)
    assert finished.stage == params.stages
    told = []
    state = learn(pictures(), with_(params, iterations=7), state=finished, callback=lambda one, _: told.append(one))
    assert [(progress.stage, progress.iteration) for progress in told] == [(params.stages, i) for i in (5, 6, 7)]
    assert told[-1].fraction == 1
    assert (state.stage, state.iteration) == (params.stages, 7)


def test_finished_learning_does_nothing_more_by_itself(never_stopped):
    told = []
    finished = through_checkpoint_file(never_stopped, PARAMS)
    assert_same(learn(pictures(), PARAMS, state=finished, callback=lambda one, _: told.append(one)), never_stopped)
    assert told == []


@pytest.mark.parametrize("spoil", [kill, blow_up, poison])
@pytest.mark.parametrize("step", [10, 28, 58])
def test_a_spoilt_learner_is_noticed_soon_and_goes_back_with_a_smaller_rate(spoil, step):
    sabotage = Sabotage(spoil, step)
    state = learn(pictures(), PARAMS, callback=sabotage)
    steps = [progress.step for progress in sabotage.told]
    unnoticed = [progress for progress in sabotage.told[step:] if progress.recoveries == 0]
    assert len(unnoticed) <= 3
    after = sabotage.told[step + len(unnoticed)]
    assert after.recoveries == 1
    assert after.step <= step  # gone back, not on
    before = sabotage.told[steps.index(after.step)]
    assert after.learning_rate == pytest.approx(RECOVERY_SCALE * before.learning_rate)
    assert state.recoveries == 1
    assert steps[-1] == STEPS
    assert all(torch.isfinite(parameter).all() for parameter in state.net.parameters())
    assert state.chains.std() < 3 * pictures().std()


@pytest.fixture(scope="module", params=[kill, blow_up])
def spoilt(request):
    """How it is spoilt after iteration 28, and where learning ends that is not stopped as well."""
    return request.param, learn(pictures(), PARAMS, callback=Sabotage(request.param, step=28))


@pytest.mark.parametrize("step", [3, 27, 28, 29])
def test_resumed_learning_is_bit_identical_across_a_recovery(spoilt, step):
    """The good states to go back to travel with the checkpoint; spoilt after iteration 28, stopped before and after."""
    spoil, never_stopped = spoilt
    assert never_stopped.recoveries == 1
    first = Sabotage(spoil, step=28, stop=step)
    stopped = learn(pictures(), PARAMS, callback=first)
    second = Sabotage(spoil, step=28)
    second.done = first.done
    resumed = learn(pictures(), PARAMS, state=through_checkpoint_file(stopped, PARAMS), callback=second)
    assert_same(resumed, never_stopped)


def test_learning_that_a_snapshot_alone_restored_can_still_recover():
    """Without the kept good states it goes back no further than to where it was resumed."""
    stopped = learn(pictures(), PARAMS, callback=stop_at(10))
    sabotage = Sabotage(kill, step=12)
    state = learn(pictures(), PARAMS, state=through_snapshot(stopped, PARAMS), callback=sabotage)
    assert state.recoveries == 1
    assert min(progress.step for progress in sabotage.told if progress.recoveries == 1) > 10


@pytest.mark.parametrize(
    ("spoil", "reason"), [(kill, "layer 1 died"), (blow_up, "chains exploded"), (poison, "chains exploded")]
)
def test_learning_that_no_smaller_rate_helps_ends_with_its_reason(spoil, reason):
    learner = Learner(pictures(), PARAMS)
    spoil(learner.state)  # before the first iteration: there is no good state
    with pytest.raises(LearningDiverged, match=reason) as caught:
        list(learner.iterate())
    assert learner.state.recoveries == MAX_RECOVERIES
    assert f"{MAX_RECOVERIES} times" in str(caught.value)
    assert "smaller learning_rate or step_size" in str(caught.value)


def test_learning_spoilt_after_every_iteration_gives_up_after_the_bounded_number_of_tries():
    with pytest.raises(LearningDiverged, match="died"):
        learn(pictures(), PARAMS, callback=lambda _, state: kill(state))


def test_a_healthy_learner_recovers_nothing(never_stopped):
    assert never_stopped.recoveries == 0
    assert never_stopped.learning_rate_scale == 1


def test_a_snapshot_of_another_net_is_refused():
    state = learn(pictures(), PARAMS, callback=stop_at(3))
    with pytest.raises(ValueError, match="does not fit the net"):
        LearningState.restored(state.snapshot(), Architecture((ConvLayer(9, 5, 2),), channels=1), CPU)


@pytest.mark.parametrize(("boundary", "side"), [("valid", 17), ("torus", 18)])
def test_algorithm1_line2_chains_begin_blank_and_on_the_torus_fit_the_stride(boundary, side):
    params = with_(image_size=17, boundary=boundary)
    chains = first_chains(TrainingSet.of(pictures(size=17)), params, architecture_of(params, 1), torch.Generator())
    assert torch.equal(chains, torch.zeros(2, 1, side, side))


def test_chains_can_begin_as_noise_of_the_reference():
    params = with_(initialization="noise", reference_std=3.0, image_size=64, num_chains=16)
    generator = torch.Generator().manual_seed(0)
    chains = first_chains(TrainingSet.of(pictures()), params, architecture_of(params, 1), generator)
    assert chains.std().item() == pytest.approx(3.0, rel=0.02)


def test_chains_can_begin_as_the_pictures_in_turn():
    params = with_(initialization="data", num_chains=5)
    images = pictures(count=2)
    chains = first_chains(TrainingSet.of(images), params, architecture_of(params, 1), torch.Generator())
    assert torch.equal(chains, images[[0, 1, 0, 1, 0]])


def test_chains_that_begin_as_noise_are_not_the_noise_that_the_weights_began_with():
    state = Learner(pictures(), with_(initialization="noise")).state
    weights = state.net.weights[0].detach().flatten()
    noise = state.chains.flatten()[: len(weights)]
    assert abs(torch.corrcoef(torch.stack([weights, noise]))[0, 1]) < 0.5


def test_learning_on_colour_pictures():
    state = learn(pictures(channels=3), with_(iterations=3))
    assert state.chains.shape == (2, 3, 16, 16)
    assert state.net.weights[0].shape == (4, 3, 5, 5)


def test_good_states_are_copies_that_later_iterations_do_not_touch():
    learner = Learner(pictures(), PARAMS)
    learner.update()
    learner.state.remember()
    before = {name: value.clone() for name, value in learner.state.good[0].tensors.items()}
    for _ in range(3):
        learner.state.chains.zero_()
        learner.update()
    assert all(torch.equal(value, before[name]) for name, value in learner.state.good[0].tensors.items())
    learner.state.go_back(0.5)
    later = replace(learner.state.snapshot(), numbers={})
    for name, value in before.items():
        assert name == "generator" or torch.equal(later.tensors[name], value)
    assert learner.state.learning_rate_scale == 0.5
