"""Objects, coarse to fine: net and chains of the full size begin as those of the coarse level, enlarged."""

import copy

import pytest
import torch
from nets import random_net
from torch.nn import functional
from training import assert_same, learned_with_checkpoints

from core.engine import ReferenceEngine
from core.recipe.coarse_level import enlarge_net_, enlarged, soften_
from core.recipe.learner import Learner, learn
from core.recipe.rendering import render_chains
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.theory.decoding import reconstruct
from core.theory.learning import architecture_of

SIDE, COARSE, FULL = 32, 4, 5


def params_of(**settings):
    given = {
        "image_size": SIDE,
        "layers": (LayerParams(filters=4, kernel_size=6, stride=2), LayerParams(filters=3, kernel_size=3, stride=2)),
        "top": "object",
        "layerwise": False,
        "num_chains": 3,
        "langevin_steps": 2,
        "reference_std": 5.0,
        "step_size": 3.0,
        "picture_noise": 5.0,
        "initialization": "noise",
        "boundary": "padded",
        "coarse_iterations": COARSE,
        "coarse_factor": 2,
        "iterations": FULL,
        "seed": 5,
    }
    return LearningParams(**{**given, **settings})


def objects(count=4):
    images = 30 * torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    return functional.avg_pool2d(images, 3, 1, 1)


@pytest.mark.parametrize("gain", [1.0, 1.4])
def test_the_net_begins_by_seeing_what_the_coarse_one_sees(gain):
    """f is (factor / gain)² times that of the picture made smaller, and σ²B its σ²B / gain at each pixel; in float64.

    So a mode of the coarse density, which equals its σ²B, is one at the full size.
    """
    params = params_of()
    coarse = random_net(architecture_of(params.of_stage(0), 1), 3)
    net = random_net(architecture_of(params, 1), 4)
    enlarge_net_(net, coarse, 2, gain)
    images = 20 * torch.randn(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    means = gain * functional.avg_pool2d(images, 2)
    assert net.weights[0].dtype == torch.float64
    torch.testing.assert_close(net.score(images, "padded"), 4 / gain**2 * coarse.score(means, "padded"))
    ours, theirs = reconstruct(net, images, "padded"), reconstruct(coarse, means, "padded")
    torch.testing.assert_close(ours, functional.interpolate(theirs, scale_factor=2.0) / gain)


def test_net_and_chains_begin_as_those_of_the_coarse_level():
    class Spy(ReferenceEngine):
        began = None

        def run(self, net, images, *given, **settings):
            Spy.began = copy.deepcopy(net), images.clone()
            return super().run(net, images, *given, **settings)

    params, seen, before = params_of(contrast=40.0), [], None
    learner = Learner(objects(), params, engine=Spy())
    for progress in learner.iterate():
        state = learner.state
        seen.append((progress.stage, progress.iteration, progress.step, state.chains.shape[-1]))
        if progress.step == COARSE:
            shown = render_chains(state.net, state.chains, learner.stage_params, learner.engine)
            assert learner.coarse_level is not None
            assert learner.coarse_level.gain > 1.1, "the coarse level is stretched"
            before = copy.deepcopy(state.net), learner.in_full_contrast(shown), learner.coarse_level.gain
        if progress.step == COARSE + 1:
            assert before is not None
            assert Spy.began is not None
            (net, chains), (coarse_net, pictures, gain) = Spy.began, before
            expected = copy.deepcopy(net)
            enlarge_net_(expected, coarse_net, 2, gain)
            soften_(expected.weights[0])
            assert all(torch.equal(*pair) for pair in zip(net.parameters(), expected.parameters(), strict=True))
            noise = chains - enlarged(pictures, SIDE, 0.0, torch.Generator(), periodic=False)
            assert abs(noise.std().item() - 5.0) < 0.4
            assert state.coarse_picture is None
    stages = ((1, COARSE, SIDE // 2), (2, FULL, SIDE))
    steps = [(stage, one, side) for stage, count, side in stages for one in range(1, count + 1)]
    assert seen == [(stage, one, step, side) for step, (stage, one, side) in enumerate(steps, start=1)]


def test_softened_filters_keep_their_sum_and_their_even_parts():
    filters = torch.full((2, 1, 6, 6), 3.0)
    torch.testing.assert_close(soften_(filters), torch.full((2, 1, 6, 6), 3.0))
    step = torch.zeros(1, 1, 6, 6)
    step[..., 2:4] = 1.0
    softened = soften_(step)
    torch.testing.assert_close(softened[0, 0, 3], torch.tensor([0.0, 0.25, 0.75, 0.75, 0.25, 0.0]))
    assert softened.sum() == 12


def test_enlarged_objects_keep_their_place_and_their_edges_do_not_continue():
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    large = enlarged(ramp, 32, 0.0, torch.Generator(), periodic=False)
    expected = (torch.arange(32.0) - 0.5) / 2
    torch.testing.assert_close(large[0, 0, 5, 4:-4], expected[4:-4], rtol=0, atol=0.1)
    assert large[..., 0].max() < 0.5, "the left edge knows nothing of the right one"


def test_learning_resumed_from_any_checkpoint_ends_bit_identical():
    params, images = params_of(), objects()
    whole, kept = learned_with_checkpoints(images, params, (2, COARSE, COARSE + 1, COARSE + FULL - 1))
    for state in kept:
        assert_same(learn(images, params, state=state), whole)
