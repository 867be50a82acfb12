"""Learning with the fast engine against learning with the reference engine."""

import pytest
import torch
from engines import relative
from nets import each_once
from training import assert_same, learned_with_checkpoints

from core.engine import FastEngine, ReferenceEngine, fast
from core.engine.dynamics import roll_to_random_phase
from core.recipe.learner import Learner, learn
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.theory.langevin import langevin_step

UPDATES = 4
VARIANTS = {
    "torus": {"boundary": "torus"},
    "valid": {"boundary": "valid"},
    "padded": {"boundary": "padded"},
    "object": {"top": "object", "boundary": "padded", "initialization": "data"},
    "category": {"top": "category"},
    "contrastive": {"contrastive": True, "boundary": "padded"},
    "patches": {"patch_size": 11, "batch_size": 6, "boundary": "valid", "initialization": "data"},
    "random phases in a box": {"random_lattice": True, "bounded": True, "batch_size": 2, "picture_noise": 5.0},
}
every_variant = pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())


def params_of(**settings):
    layers = (LayerParams(filters=4, kernel_size=5, stride=2), LayerParams(filters=3, kernel_size=3))
    given = {"image_size": 17, "layers": layers, "num_chains": 2, "langevin_steps": 3, "iterations": 20, "seed": 5}
    return LearningParams(**{**given, "reference_std": 5.0, "step_size": 3.0, "layerwise": False, **settings})


def images_of(count=3):
    generator = torch.Generator().manual_seed(1)
    images = 20 * torch.randn(count, 1, 17, 17, generator=generator).cumsum(dim=3) / 4
    return images - images.mean()


class WithoutNoise(ReferenceEngine):
    """Runs eq. 19 with Z = 0."""

    def run(self, net, images, steps, dynamics, generator, after_step=None):
        for step in range(1, steps + 1):
            if dynamics.random_lattice:
                images, _ = roll_to_random_phase(images, net.architecture.total_stride, generator)
            zero = torch.zeros_like(images)
            images = langevin_step(net, images, dynamics.step_size, noise=zero, boundary=dynamics.boundary)
            images = images if dynamics.box is None else dynamics.box.project(images)
            if after_step is not None:
                after_step(step)
        return images


class NoNoise:
    def fill(self, flat, std):  # noqa: ARG002
        flat.zero_()


def learners(settings, dtype):
    found = []
    for engine in (FastEngine(), WithoutNoise()):
        learner = Learner(images_of().to(dtype), params_of(**settings), engine=engine)
        learner.state.net.to(dtype)
        learner.state.chains = learner.state.chains.to(dtype)
        found.append(learner)
    return found


@every_variant
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_without_noise_the_first_updates_are_the_references_up_to_rounding(settings, dtype, tolerance, monkeypatch):
    monkeypatch.setattr(fast, "noise_per_picture", lambda _, count: [NoNoise() for _ in range(count)])
    one, reference = learners(settings, dtype)
    before = [parameter.detach().clone() for parameter in one.state.net.parameters()]
    for _ in range(UPDATES):
        health, expected = one.update(), reference.update()
        assert one.state.chains.dtype == dtype
        assert relative(one.state.chains, reference.state.chains) <= tolerance
        for found, other in zip(one.state.net.parameters(), reference.state.net.parameters(), strict=True):
            assert relative(found.detach(), other.detach()) <= tolerance
        for name in ("chain_std", "data_std", "score_difference"):
            assert getattr(health, name) == pytest.approx(getattr(expected, name), rel=10 * tolerance)
        assert health.active_share == pytest.approx(expected.active_share, abs=tolerance)
        assert health.data_active_share == pytest.approx(expected.data_active_share, abs=tolerance)
    for found, start in zip(one.state.net.parameters(), before, strict=True):
        assert not torch.equal(found.detach(), start)


@each_once("settings, precision", list(VARIANTS.values()), ["float32", "bfloat16"])
def test_learning_resumes_bit_identical_from_a_checkpoint(settings, precision):
    params = params_of(**{**settings, "precision": precision, "iterations": 4, "layerwise": True})
    assert Learner(images_of(), params).engine.precision == precision
    whole, states = learned_with_checkpoints(images_of(), params, (3, 5))
    for resumed in states:
        assert_same(learn(images_of(), params, state=resumed), whole)
    assert all(parameter.dtype == torch.float32 for parameter in whole.net.parameters())
    assert whole.chains.dtype == torch.float32


@pytest.mark.parametrize("units", [True, False])
def test_with_auto_contrastive_learning_is_never_bfloat16(monkeypatch, units):
    """It depends on the difference of two nearly equal gradients."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": units})
    chosen = {
        (variant, precision): Learner(images_of(), params_of(**VARIANTS[variant], precision=precision)).engine.precision
        for variant in ("torus", "contrastive")
        for precision in ("auto", "float32", "bfloat16")
    }
    assert chosen.pop(("torus", "auto")) == ("bfloat16" if units else "float32")
    assert chosen.pop(("contrastive", "auto")) == "float32"
    assert all(precision == engine for (_, precision), engine in chosen.items())


def test_an_exception_of_the_interrupt_callback_ends_learning_between_langevin_steps():
    calls = []

    class StopNowError(Exception):
        pass

    def stop():
        calls.append(len(calls))
        if len(calls) == 2:
            raise StopNowError

    learner = Learner(images_of(), params_of(langevin_steps=10), engine=FastEngine(), check_interrupt=stop)
    with pytest.raises(StopNowError):
        learner.update()
    assert len(calls) == 2
    assert learner.state.iteration == 0
