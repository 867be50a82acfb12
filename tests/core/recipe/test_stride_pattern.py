"""What repeats in chains with the net's stride is no stronger than in the training pictures."""

import math

import pytest
import torch
from nets import case, seeded
from training import PARAMS, pictures, with_

from core.engine import FastEngine, ReferenceEngine
from core.engine.dynamics import Dynamics
from core.pictures.images import rms
from core.recipe.learner import Learner
from core.recipe.stride_pattern import MIN_REPEATS, limit_stride_pattern_, pattern_limit, stride_pattern
from core.synthesis import sampling
from core.synthesis.sampling import synthesize

EXACT = {"rtol": 1e-9, "atol": 1e-9}
TEXTURE = with_(
    PARAMS,
    image_size=32,
    layerwise=False,
    random_lattice=True,
    picture_noise=2.0,
    reference_std=4.0,
    step_size=2.0,
    iterations=3,
)


def waves():
    """(1, 1, 24, 36), in float64; no part of it has a period of three pixels."""
    row, column = torch.arange(24, dtype=torch.float64)[:, None], torch.arange(36, dtype=torch.float64)
    return (torch.sin(2 * math.pi * row / 8) + torch.cos(2 * math.pi * column / 9))[None, None] + 5


def pattern_of(strength):
    """(3, 3), of mean zero and this root mean square."""
    pattern = torch.randn(3, 3, generator=seeded(2), dtype=torch.float64)
    pattern -= pattern.mean()
    return strength * pattern / pattern.square().mean().sqrt()


def test_a_known_pattern_is_found_and_reduced_and_nothing_else_changes():
    images = waves() + pattern_of(2).repeat(8, 12)
    torch.testing.assert_close(stride_pattern(images, 3)[0, 0], pattern_of(2), **EXACT)
    for limit, left in ((0.5, 0.5), (0.0, 0.0), (2.5, 2.0)):
        found = limit_stride_pattern_(images.clone(), 3, limit)
        torch.testing.assert_close(found, waves() + pattern_of(left).repeat(8, 12), **EXACT)
    assert torch.equal(limit_stride_pattern_(torch.full((1, 1, 24, 24), 3.0), 3, 0.0), torch.full((1, 1, 24, 24), 3.0))


def test_it_is_reduced_in_place_and_for_each_picture():
    images = torch.cat([waves() + pattern_of(strength).repeat(8, 12) for strength in (0.1, 2)])
    assert limit_stride_pattern_(images, 3, 0.5) is images
    strengths = stride_pattern(images, 3).square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(strengths, torch.tensor([0.1, 0.5], dtype=torch.float64), **EXACT)


@pytest.mark.parametrize(("side", "stride"), [(3 * MIN_REPEATS - 3, 3), (16, 16), (24, 1)])
def test_small_pictures_and_nets_without_strides_are_left_alone(side, stride):
    images = torch.randn(1, 1, side, side, generator=seeded(1))
    assert torch.equal(limit_stride_pattern_(images.clone(), stride, 0.0), images)


def test_by_chance_a_larger_picture_has_less_of_it_and_a_pattern_of_its_own_stays():
    small, large = (torch.randn(8, 1, side, side, generator=seeded(side)) for side in (48, 192))
    limit = pattern_limit(small, 3, 192**2)
    assert limit == pytest.approx(rms(stride_pattern(small, 3)) / 4)
    assert limit == pytest.approx(rms(stride_pattern(large, 3)), rel=0.3)
    woven = small + pattern_of(1).float().repeat(16, 16)
    assert pattern_limit(woven, 3, 192**2) == rms(stride_pattern(woven, 3)) == pytest.approx(1, rel=0.1)


def spoiled(chains, strength=50.0):
    """Chains with a strong pattern of stride two."""
    pattern = torch.tensor([[strength, -strength], [-strength, strength]]).to(chains)
    return chains + pattern.repeat(chains.shape[2] // 2, chains.shape[3] // 2)


def test_chains_are_learned_with_no_stronger_pattern_than_the_pictures_have_under_noise():
    images = pictures(1, size=32)
    seen = []

    class Spy(ReferenceEngine):
        def gradients(self, net, observed, synthesized):
            seen.append(synthesized.images)
            return super().gradients(net, observed, synthesized)

    learner = Learner(images, TEXTURE, engine=Spy())
    learner.state.chains = spoiled(learner.state.chains)
    allowed = math.hypot(pattern_limit(images, 2, 32**2), 2.0 * 2 / 32)
    list(learner.iterate())
    strengths = [stride_pattern(chains, 2).square().mean(dim=(1, 2, 3)).sqrt().max().item() for chains in seen]
    assert len(strengths) == 3
    assert max(strengths) <= allowed * (1 + 1e-5)
    plain = Learner(images, with_(TEXTURE, random_lattice=False), engine=Spy())
    plain.state.chains = spoiled(plain.state.chains)
    list(plain.iterate())
    assert stride_pattern(seen[3], 2).square().mean().sqrt() > 10 * allowed


@pytest.mark.parametrize("way", ["free", "in tiles", "from a picture"])
def test_drawn_pictures_have_no_stronger_pattern_than_the_learned_chains(way, monkeypatch):
    one = case("every_2", [(3, 4, 2), (2, 3, 1)], (40, 40), "torus", reference_std=4.0)
    chains = limit_stride_pattern_(20 * one.images, 2, 0.01)
    if way == "in tiles":
        monkeypatch.setattr(sampling, "needs_tiles", lambda *_: True)
    begin = spoiled(chains[:1].repeat(1, 1, 2, 2)) if way == "from a picture" else None

    def drawn(random_lattice):
        dynamics = Dynamics(1.0, "torus", random_lattice=random_lattice)
        given = {"steps": 2, "dynamics": dynamics, "generator": seeded(3), "start": chains, "engine": FastEngine()}
        return synthesize(one.net, 1, 80, 80, begin=None if begin is None else begin.clone(), **given)

    allowed = pattern_limit(chains, 2, 80**2)
    assert rms(stride_pattern(drawn(random_lattice=True), 2)) <= allowed * (1 + 1e-9)
    assert rms(stride_pattern(drawn(random_lattice=False), 2)) > allowed
