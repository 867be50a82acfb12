"""`keep_nearest`: a stage ends with the state whose pictures are nearest to the training pictures."""

import pytest
import torch
from nets import each_once
from pydantic import ValidationError

from core.pictures.quality import grid_peak, relative_grid_peak
from core.recipe import best_state
from core.recipe.best_state import COMPARISON_INTERVAL, TOLERATED_GRID_PEAK
from core.recipe.checkpoint import load_checkpoint, save_checkpoint
from core.recipe.diagnosis import Health
from core.recipe.learner import Learner, learn
from core.schemas.learning import LearningParams
from core.schemas.model_file import BrokenFile
from core.schemas.net import LayerParams

CPU = torch.device("cpu")
ITERATIONS = 40


def params_of(**settings):
    layers = (LayerParams(filters=4, kernel_size=5, stride=2), LayerParams(filters=3, kernel_size=3))
    given = {"image_size": 24, "layers": layers, "num_chains": 2, "langevin_steps": 2, "iterations": ITERATIONS}
    more = {"reference_std": 5.0, "step_size": 3.0, "layerwise": False, "keep_nearest": True, "seed": 5}
    return LearningParams(**{**given, **more, **settings})


def images_of(count=1):
    generator = torch.Generator().manual_seed(1)
    images = 20 * torch.randn(count, 1, 24, 24, generator=generator).cumsum(dim=3) / 4
    return images - images.mean()


@pytest.fixture(autouse=True)
def _half(monkeypatch):
    """Compare states of the last half, so that a few iterations have several of them."""
    monkeypatch.setattr(best_state, "FIRST_COMPARED", 0.5)


def test_states_are_compared_only_when_the_learning_rate_is_small(monkeypatch):
    monkeypatch.undo()
    learner = Learner(images_of(), params_of())
    learner.state.iteration = round(best_state.FIRST_COMPARED * ITERATIONS)
    assert learner.learning_rate < 0.05 * params_of().learning_rate


@pytest.fixture
def set_and_record(monkeypatch):
    """Return a function that sets the distances of the comparisons in order, and a callback that records states."""
    seen = []

    def set_distances(*distances, unhealthy=()):
        left = list(distances)
        monkeypatch.setattr(best_state, "sliced_wasserstein", lambda *_, **__: left.pop(0))
        monkeypatch.setattr(best_state, "relative_grid_peak", lambda *_: 1.0)
        healthy = iter(range(10**6))
        monkeypatch.setattr(best_state, "find_warnings", lambda _: ["unhealthy"] if next(healthy) in unhealthy else [])
        return seen

    def record(progress, state):
        seen.append((progress.iteration, state.net.weights[0].detach().clone(), state.chains.clone()))

    return set_distances, record


def compared():
    half = range(ITERATIONS // 2, ITERATIONS + 1)
    return [iteration for iteration in half if (ITERATIONS - iteration) % COMPARISON_INTERVAL == 0]


@pytest.mark.parametrize("best", [0, 2, 5])
def test_learning_ends_with_the_best_of_the_compared_states(set_and_record, best):
    set_distances, record = set_and_record
    assert len(compared()) == 6
    seen = set_distances(*[1.0 if index == best else 2.0 + index for index in range(6)])
    state = learn(images_of(), params_of(), callback=record)
    iteration, weights, chains = seen[compared()[best] - 1]
    assert iteration == compared()[best]
    assert torch.equal(state.net.weights[0], weights)
    assert torch.equal(state.chains, chains)
    assert (state.stage, state.iteration) == (1, ITERATIONS)
    assert state.best is None


def test_an_unhealthy_state_is_never_kept_and_without_a_healthy_one_the_last_is(set_and_record):
    set_distances, record = set_and_record
    seen = set_distances(1.0, 2.0, 3.0, 4.0, 5.0, unhealthy={0})
    kept = learn(images_of(), params_of(), callback=record)
    assert torch.equal(kept.chains, seen[compared()[1] - 1][2]), (
        "the first state has the smallest distance, but is unhealthy"
    )
    seen.clear()
    set_distances(unhealthy=range(ITERATIONS))
    assert torch.equal(learn(images_of(), params_of(), callback=record).chains, seen[-1][2])


def test_a_grid_counts_as_distance(monkeypatch):
    monkeypatch.setattr(best_state, "sliced_wasserstein", lambda *_, **__: 3.0)
    monkeypatch.setattr(best_state, "relative_grid_peak", lambda *_: 2 * TOLERATED_GRID_PEAK)
    monkeypatch.setattr(best_state, "find_warnings", lambda _: [])
    learner = Learner(images_of(), params_of())
    for progress in learner.iterate():
        if progress.iteration == compared()[0]:
            break
    assert learner.state.best.numbers["distance"] == pytest.approx(6.0)


def test_relative_grid_peak_is_the_ratio_or_none_without_a_grid():
    generator = torch.Generator().manual_seed(3)
    one, other = torch.randn(2, 1, 48, 48, generator=generator)
    one[..., ::3, :] += 5
    assert relative_grid_peak(one, other, 3) == pytest.approx(grid_peak(one, 3) / grid_peak(other, 3))
    assert relative_grid_peak(one, other, 3) > 3
    assert relative_grid_peak(one, other, 1) is None
    assert relative_grid_peak(one[..., :11, :11], other, 3) is None


@each_once("layerwise, stop", [False, True], [10, 29, ITERATIONS])
def test_a_stopped_job_resumes_bit_identical_with_its_best_state(layerwise, stop):
    params = params_of(layerwise=layerwise)
    whole = learn(images_of(), params)
    stopped = learn(images_of(), params, callback=lambda progress, _: progress.step == stop)
    resumed = load_checkpoint(save_checkpoint(stopped, params), CPU)
    assert (resumed.best is None) == (stopped.best is None)
    ended = learn(images_of(), params, state=resumed).snapshot()
    assert ended.numbers == whole.snapshot().numbers
    for name, value in whole.snapshot().tensors.items():
        assert torch.equal(ended.tensors[name], value), name


def test_the_final_health_is_that_of_the_best_state():
    learner = Learner(images_of(), params_of())
    last = None
    for progress in learner.iterate():
        last = progress.health
    signs = learner.measure_health()
    assert isinstance(signs, Health)
    assert signs.chain_std == pytest.approx(learner.state.chains.square().mean().sqrt().item())
    assert signs != last


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"contrastive": True, "boundary": "padded"}, "must be false with contrastive"),
        (
            {"patch_size": 6, "boundary": "valid", "layers": [{"filters": 2, "kernel_size": 3}]},
            "patch_size of at least 7 pixels",
        ),
    ],
)
def test_settings_without_comparable_pictures_are_refused(settings, reason):
    with pytest.raises(ValidationError, match=reason) as refused:
        params_of(**settings)
    assert refused.value.errors()[0]["loc"] == ("keep_nearest",)


def test_a_checkpoint_of_the_older_format_is_resumed():
    params = params_of(keep_nearest=False)
    stopped = learn(images_of(), params, callback=lambda progress, _: progress.step == 10)
    content = save_checkpoint(stopped, params)
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].replace(b"genconvnet-checkpoint/3", b"genconvnet-checkpoint/2")
    header = header.replace(b', \\"nearest\\": false', b"")
    assert b"nearest" not in header.replace(b"keep_nearest", b"")
    older = len(header).to_bytes(8, "little") + header + content[8 + size :]
    ended = learn(images_of(), params, state=load_checkpoint(older, CPU))
    assert torch.equal(ended.chains, learn(images_of(), params).chains)


def test_a_best_state_from_before_the_last_tenth_of_a_longer_run_is_forgotten():
    params = params_of()
    stopped = learn(images_of(), params, callback=lambda progress, _: progress.step == 30)
    stopped.best = None
    stopped.keep_if_best(1.0)
    longer = params.model_copy(update={"iterations": 10 * ITERATIONS})
    assert Learner(images_of(), params, load_checkpoint(save_checkpoint(stopped, params), CPU)).state.best is not None
    assert Learner(images_of(), longer, load_checkpoint(save_checkpoint(stopped, params), CPU)).state.best is None


def test_a_checkpoint_without_its_announced_best_state_is_refused():
    params = params_of()
    state = learn(images_of(), params, callback=lambda progress, _: progress.step == 30)
    content = save_checkpoint(state, params)
    header = int.from_bytes(content[:8], "little")
    garbled = content[8 : 8 + header].replace(b'"0.', b'"9.', 1)
    with pytest.raises(BrokenFile):
        load_checkpoint(content[:8] + garbled + content[8 + header :], CPU)
