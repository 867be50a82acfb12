"""One training over two real processes (core/engine/distributed.py): it agrees with one process, and survives."""

import os
import signal
from collections.abc import Iterator

import pytest
import torch
from support.preloaded import ForkedRanks
from training import CPU, assert_same, pictures, through_checkpoint_file, with_

from core.engine import ranks
from core.engine.distributed import DistributedEngine, distributed_engine
from core.engine.fast import FastEngine
from core.engine.ranks import ProcessLost
from core.recipe.learner import Learner
from core.schemas.net import LayerParams

UPDATES = 8
TEXTURE = with_(
    layerwise=False,
    num_chains=3,  # shares of two and one
    langevin_steps=3,
    random_lattice=True,
    bounded=True,
    picture_noise=3.0,
    orientations=("0", "90", "flipped-180"),
    reference_std=5.0,
    step_size=3.0,
)
OBJECT = with_(layerwise=False, top="object", boundary="padded", num_chains=2, initialization="noise")
CONTRASTIVE = with_(layerwise=False, contrastive=True, boundary="padded", batch_size=3, langevin_steps=1)
SMALL = (LayerParams(filters=4, kernel_size=3, stride=2),)
ONE_CHAIN = with_(layerwise=False, num_chains=1)  # the other process learns from a picture alone


def partly_unknown(images):
    """Make the first picture unknown: the process that has it counts no unit."""
    images = images.clone()
    images[:2, :, 3:13, 3:13] = torch.nan
    images[2, :, :2] = torch.nan
    return images


CASES = {
    "texture": (TEXTURE, pictures(count=3)),
    "object": (OBJECT, pictures(count=2)),
    "contrastive": (CONTRASTIVE, pictures(count=5)),
    "any angle": (with_(TEXTURE, orientations=("any",), layers=SMALL), pictures(count=3)),
    "one chain": (ONE_CHAIN, pictures(count=2)),
    "parts": (with_(ONE_CHAIN, layers=(LayerParams(filters=4, kernel_size=5, stride=2),)), partly_unknown(pictures(3))),
}


@pytest.fixture(scope="module")
def two() -> Iterator[DistributedEngine]:
    """Two processes: a third is left out, because its device does not exist."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "multiprocessing", ForkedRanks())
        with distributed_engine(FastEngine(), [CPU, torch.device("cuda:99"), CPU]) as engine:
            assert engine.size == 2
            yield engine


def in_double_precision(images, params, engine=None):
    learner = Learner(images.double(), params, engine=engine)
    state = learner.state
    state.net.double()
    state.chains = state.chains.double()
    return learner


def update(learner, count):
    for _ in range(count):
        learner.update()
    return learner.state


@pytest.mark.parametrize("name", CASES)
def test_the_updates_of_two_processes_are_those_of_one(two, name):
    params, images = CASES[name]
    one = update(in_double_precision(images, params), UPDATES)
    other = update(in_double_precision(images, params, two), UPDATES)
    assert other.chains.dtype == torch.float64
    torch.testing.assert_close(other.chains, one.chains, rtol=0, atol=1e-9)
    for theirs, ours in zip(other.net.parameters(), one.net.parameters(), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-9)
    assert torch.equal(other.generator.get_state(), one.generator.get_state())


def test_windows_and_then_a_canvas_are_learned_by_two_processes_as_by_one(two):
    """The canvas is one chain and one picture: there is work for both processes."""
    windows = {"image_size": 40, "patch_size": 16, "batch_size": 2, "iterations": 3, "canvas_iterations": 2}
    params, images = with_(TEXTURE, **windows, optimizer="spectral"), pictures(count=1, size=40)
    one, other = in_double_precision(images, params), in_double_precision(images, params, two)
    for learner in (one, other):
        assert [progress.stage for progress in learner.iterate()] == [1, 1, 1, 2, 2]
    assert other.state.chains.shape == (1, 1, 40, 40)
    torch.testing.assert_close(other.state.chains, one.state.chains, rtol=0, atol=1e-9)
    for theirs, ours in zip(other.state.net.parameters(), one.state.net.parameters(), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_an_update_in_single_precision_agrees_to_rounding(two, name):
    params, images = CASES[name]
    one, other = Learner(images, params), Learner(images, params, engine=two)
    ours, theirs = one.update(), other.update()
    scale = one.state.chains.abs().max().item()
    torch.testing.assert_close(other.state.chains, one.state.chains, rtol=0, atol=1e-5 * scale)
    for there, here in zip(other.state.net.parameters(), one.state.net.parameters(), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-5)
    assert theirs.active_share == pytest.approx(ours.active_share)
    assert theirs.score_difference == pytest.approx(ours.score_difference, rel=1e-4)


def test_resumed_learning_of_two_processes_ends_bit_identical_to_one_never_stopped(two):
    params, images = CASES["texture"]
    whole = update(Learner(images, params, engine=two), 6)
    half = through_checkpoint_file(update(Learner(images, params, engine=two), 3), params)
    assert_same(update(Learner(images, params, half, engine=two), 3), whole)


def test_the_health_and_the_best_state_are_judged_by_all_chains(two):
    params, images = CASES["texture"]
    one, other = (update(in_double_precision(images, params, engine), 2) for engine in (None, two))
    ours, theirs = Learner(images.double(), params, one), Learner(images.double(), params, other, two)
    assert theirs.measure_health().shown_std == pytest.approx(ours.measure_health().shown_std, abs=1e-9)
    assert theirs.best_state.distance(other) == pytest.approx(ours.best_state.distance(one), rel=1e-6)


def test_a_lost_process_ends_the_learning_by_a_named_error(two):
    """The last test of this module: it kills the other process."""
    learner = Learner(*CASES["one chain"][::-1], engine=two)
    learner.update()
    os.kill(two._ranks._others[0].process.pid, signal.SIGKILL)
    with pytest.raises(ProcessLost, match="process 2 of 2 was lost: it was killed") as raised:
        learner.update()
    assert raised.value.left == 1
