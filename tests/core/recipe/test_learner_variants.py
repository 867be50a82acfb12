"""The ways to learn beside persistent chains of whole pictures: each field of the settings that chooses one."""

import math

import pytest
import torch
from training import learned_with_checkpoints

from core.engine import ReferenceEngine
from core.engine.dynamics import Dynamics
from core.engine.reference import run_chains
from core.pictures.training_set import TrainingSet
from core.recipe import update_rule
from core.recipe.checkpoint import load_checkpoint, save_checkpoint
from core.recipe.learner import RECONSTRUCTION_INTERVAL, Learner, learn
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.theory.decoding import reconstruction_loss
from core.theory.learning import architecture_at

CPU = torch.device("cpu")
SIZE = 16


def params_of(**settings):
    layers = (LayerParams(filters=4, kernel_size=5, stride=2), LayerParams(filters=3, kernel_size=3))
    given = {"image_size": SIZE, "layers": layers, "num_chains": 2, "langevin_steps": 2, "iterations": 3, "seed": 5}
    return LearningParams(**{**given, "reference_std": 5.0, "step_size": 3.0, **settings})


def images_of(count=3, size=SIZE):
    generator = torch.Generator().manual_seed(1)
    images = 20 * torch.randn(count, 1, size, size, generator=generator).cumsum(dim=3) / 4
    return images - images.mean()


class Spy(ReferenceEngine):
    """Keeps what the learner's chains began at and how they ran: (images, steps) of each run."""

    def __init__(self):
        self.runs = []

    def run(self, net, images, steps, *given, **settings):
        self.runs.append((images.clone(), steps))
        return super().run(net, images, steps, *given, **settings)


def assert_same(one, other):
    here, there = one.snapshot(), other.snapshot()
    assert here.numbers == there.numbers
    assert here.tensors.keys() == there.tensors.keys()
    assert [name for name, value in here.tensors.items() if not torch.equal(value, there.tensors[name])] == []


CONTRASTIVE = {"contrastive": True, "boundary": "padded", "layerwise": False}
OBJECT = {"top": "object", "boundary": "padded", "initialization": "noise"}
SMALL = (LayerParams(filters=4, kernel_size=3, stride=2), LayerParams(filters=3, kernel_size=2))
WAYS = {
    "contrastive": CONTRASTIVE,
    "contrastive, noisy batches": {**CONTRASTIVE, "batch_size": 2, "picture_noise": 5.0},
    "contrastive patches": {**CONTRASTIVE, "patch_size": 11, "batch_size": 6},
    "patches": {"patch_size": 11, "batch_size": 6, "boundary": "valid", "initialization": "data"},
    "object, grown": OBJECT,
    "object at once": {**OBJECT, "layerwise": False},
    "category, grown": {"top": "category"},
    "batches": {"batch_size": 2, "picture_noise": 5.0},
    "turned and flipped": {"orientations": ("90", "flipped-0", "flipped-270")},
    "turned by any angle": {"orientations": "any", "layers": SMALL, "random_lattice": True},
    "patches turned by any angle": {"orientations": "any", "patch_size": 7, "layers": SMALL, "batch_size": 3},
    "bounded": {"bounded": True},
    "random lattice": {"random_lattice": True},
    "random lattice, all": {"random_lattice": True, "bounded": True, "batch_size": 1, "picture_noise": 5.0},
}


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS.keys())
def test_every_variant_resumes_bit_identical_from_its_checkpoint(settings):
    params = params_of(**settings)
    whole, states = learned_with_checkpoints(images_of(), params, (2, params.iterations))
    for resumed in states:
        assert_same(learn(images_of(), params, state=resumed), whole)
    assert whole.recoveries == 0
    assert all(torch.isfinite(parameter).all() for parameter in whole.net.parameters())


@pytest.mark.parametrize("batch_size", [None, 2])
def test_contrastive_chains_start_at_the_noisy_pictures_of_their_iteration(batch_size):
    spy, images = Spy(), images_of()
    params = params_of(**CONTRASTIVE, batch_size=batch_size, picture_noise=5.0, num_chains=7, langevin_steps=3)
    learner = Learner(images, params, engine=spy)
    for _ in range(3):
        generator = torch.Generator()
        generator.set_state(learner.state.generator.get_state())
        drawn = TrainingSet.of(images).draw(batch_size, generator)
        noisy = drawn + 5.0 * torch.randn(drawn.shape, generator=generator)
        net = learner.state.net
        chains = run_chains(net, noisy, 3, Dynamics(params.step_size, "padded"), generator)
        learner.update()
        began, steps = spy.runs[-1]
        assert torch.equal(began, noisy)
        assert steps == 3
        assert torch.equal(learner.state.chains, chains)  # one a picture, whatever num_chains says
        assert len(chains) == (batch_size or len(images))


def test_persistent_chains_continue_from_their_last_state():
    spy = Spy()
    learner = Learner(images_of(), params_of(boundary="padded"), engine=spy)
    for _ in range(3):
        before = learner.state.chains.clone()
        learner.update()
        assert torch.equal(spy.runs[-1][0], before)


def test_contrastive_divergence_does_not_scale_the_score(monkeypatch):
    expected = learn(images_of(), params_of(**CONTRASTIVE))
    monkeypatch.setattr(update_rule, "SCORE_SCALING", 0.5)
    assert_same(learn(images_of(), params_of(**CONTRASTIVE)), expected)
    persistent = {**CONTRASTIVE, "contrastive": False}
    stretched = learn(images_of(), params_of(**persistent)).net.weights[-1]
    monkeypatch.undo()
    assert not torch.equal(learn(images_of(), params_of(**persistent)).net.weights[-1], stretched)


@pytest.mark.parametrize("settings", [CONTRASTIVE, {"boundary": "padded"}], ids=["contrastive", "persistent"])
def test_the_reconstruction_error_is_measured_now_and_then(settings):
    """Of all pictures in contrastive divergence, which lowers it; else of the first."""
    learner = Learner(images_of(), params_of(**settings, iterations=12, precision="float32"))
    shown = images_of() if settings.get("contrastive") else images_of()[:1]
    errors = []
    for progress in learner.iterate():
        errors.append(progress.health.reconstruction_std)
        if len(errors) == RECONSTRUCTION_INTERVAL:
            loss = reconstruction_loss(learner.state.net, shown, "padded").sum().item()
    assert [error is not None for error in errors[:12]] == [False] * 9 + [True] + [False] * 2
    assert errors[9] == pytest.approx(math.sqrt(2 * loss / shown.numel()), rel=1e-5)
    assert learner.measure_health().reconstruction_std > 0


@pytest.mark.parametrize(("batch_size", "drawn"), [(1, 1), (2, 2), (9, 5), (None, 5)])
def test_an_iteration_reads_as_many_pictures_as_its_batch_size(batch_size, drawn):
    images, asked = images_of(count=5), []

    def read(indices):
        asked.append(list(indices))
        return images[list(indices)]

    memory = TrainingSet.of(images)
    pictures = TrainingSet(5, 1, memory.std, memory.box, CPU, read)
    learner = Learner(pictures, params_of(batch_size=batch_size))
    asked.clear()
    for _ in range(6):
        learner.update()
    assert [len(indices) for indices in asked] == [drawn] * 6
    assert all(len(set(indices)) == drawn for indices in asked)
    assert (len({tuple(indices) for indices in asked}) == 1) == (drawn == 5)


@pytest.mark.parametrize("contrastive", [True, False])
def test_chains_have_the_size_of_the_patches(contrastive):
    spy, images = Spy(), images_of()
    settings = {"patch_size": 11, "batch_size": 6, "boundary": "valid", "initialization": "data", "num_chains": 4}
    params = params_of(**settings, contrastive=contrastive)
    learner = Learner(images, params, engine=spy)
    windows = images.unfold(2, 11, 1).unfold(3, 11, 1).reshape(-1, 11, 11)
    for _ in range(3):
        learner.update()
    began = spy.runs[-1 if contrastive else 0][0]  # persistent chains begin at patches once
    assert began.shape == (6 if contrastive else 4, 1, 11, 11)
    assert learner.state.chains.shape == began.shape
    for patch in began[:, 0]:
        assert (windows == patch).all(dim=(1, 2)).any()


def test_an_object_grown_layer_by_layer_keeps_its_one_filter_on_top():
    params, images = params_of(**OBJECT), images_of()
    tops = []

    def look(progress, state):
        net = state.net
        assert net.has_top_filter
        assert len(net.weights) == progress.stage + 1
        shape = architecture_at(params, 1, progress.stage - 1)
        assert net.architecture == shape
        assert net.weights[-1].shape == (1, shape.layers[-1].filters, *shape.top_size)
        if progress.iteration in (1, params.iterations):
            tops.append(net.score(images, "padded").mean().item())

    state = learn(images, params, callback=look)
    assert [tuple(weight.shape[-2:]) for weight in state.net.weights[:-1]] == [(5, 5), (3, 3)]
    assert min(tops) > 0  # it fires on the pictures all the time
    resumed = load_checkpoint(save_checkpoint(state, params), CPU)
    assert torch.equal(resumed.net.score(images, "padded"), state.net.score(images, "padded"))


@pytest.mark.parametrize("settings", [{}, {"patch_size": 11, "batch_size": 4, "boundary": "valid"}], ids=str)
def test_one_orientation_is_learning_from_pictures_that_were_turned_before(settings):
    """And as they are by default: no number more is drawn."""
    turned_before = learn(images_of(count=1).rot90(1, dims=(2, 3)), params_of(**settings))
    if not settings:
        assert_same(learn(images_of(count=1), params_of(orientations=("90",))), turned_before)
    assert_same(
        learn(images_of(), params_of(orientations=("0",), **settings)), learn(images_of(), params_of(**settings))
    )


@pytest.mark.parametrize(("orientations", "across", "along"), [("any", True, True), (["0"], True, False)])
def test_stripes_at_any_angle_are_drawn_at_different_angles(orientations, across, along):
    """Each chain has stripes of its own: their slope across and along the picture, squared, says where they run."""
    stripes = (40 * torch.sin(torch.arange(64) * (2 * math.pi / 6))).expand(1, 1, 64, 64)
    stripes = stripes + 5 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    layers = (LayerParams(filters=12, kernel_size=9, stride=2),)
    params = params_of(image_size=64, patch_size=24, layers=layers, num_chains=8, batch_size=8, langevin_steps=5)
    whole = {"bounded": True, "random_lattice": True, "picture_noise": 10.0, "reference_std": 10.0, "step_size": 6.0}
    given = {**params.model_dump(), **whole, "iterations": 90, "learning_rate": 6e-3, "orientations": orientations}
    chains = learn(stripes, LearningParams.model_validate(given)).chains
    slope_across, slope_along = ((chains - chains.roll(1, dim)).square().mean(dim=(1, 2, 3)) for dim in (-1, -2))
    assert bool((slope_across > 2 * slope_along).any()) == across
    assert bool((slope_along > 2 * slope_across).any()) == along
    assert chains.std() > 0.8 * stripes.std()


PARTS = {
    "whole pictures": {},
    "everything": {"random_lattice": True, "bounded": True, "picture_noise": 5.0, "keep_nearest": True},
    "turned": {"orientations": ("0", "flipped-90"), "batch_size": 2},
    "windows": {"patch_size": 12, "batch_size": 2, "initialization": "data"},
    "padded": {"boundary": "padded"},
}


@pytest.mark.parametrize("settings", PARTS.values(), ids=PARTS.keys())
def test_learning_from_parts_is_finite_and_resumes_bit_identical(settings):
    images, params = images_of(), params_of(**settings)
    images[:, :, 10:14, 2:5] = torch.nan
    whole = learn(images, params)
    stopped = learn(images, params, callback=lambda progress, _: progress.step == 4)
    assert_same(learn(images, params, state=load_checkpoint(save_checkpoint(stopped, params), CPU)), whole)
    assert whole.recoveries == 0
    assert torch.isfinite(whole.chains).all()
    assert all(torch.isfinite(parameter).all() for parameter in whole.net.parameters())
    assert torch.isfinite(Learner(images, params).examples).all()
