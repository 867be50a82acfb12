import copy
from dataclasses import replace

import pytest
import torch
from nets import random_net

from core.engine import ScoreGradient
from core.recipe.diagnosis import (
    DEAD_ACTIVE_SHARE,
    EXPLODED_STD_RATIO,
    MAX_WIDE_ITERATIONS,
    NORMAL_STD_RATIO,
    WIDE_STD_RATIO,
    Health,
    diagnose,
    find_warnings,
    has_normal_spread,
    is_wide,
    measure_health,
    overshoot,
)
from core.theory.model import Architecture, ConvLayer

GOOD = Health(20.0, 20.0, (0.3, 0.4), (0.3, 0.4), 0.5)
WIDE = replace(GOOD, chain_std=20 * (WIDE_STD_RATIO + EXPLODED_STD_RATIO) / 2)
NAN, INFINITY = float("nan"), float("inf")
NET = random_net(Architecture((ConvLayer(3, 3), ConvLayer(2, 3)), channels=1, reference_std=1.0), seed=1)


def test_health_is_measured_on_the_chains_and_the_nets_response_to_them():
    chains = torch.tensor([3.0, -4.0]).view(1, 1, 1, 2)
    synthesized, real = ScoreGradient(2.0, (), (0.5, 0.0)), ScoreGradient(1.5, (), (0.0, 0.5))
    health = measure_health(NET, chains, 7.0, synthesized, real)
    assert health.chain_std == pytest.approx(12.5**0.5)
    assert (health.data_std, health.score_difference) == (7.0, -0.5)
    assert health.relative_score_difference == pytest.approx(-0.5 / 3.5)
    assert health.active_share == (0.5, 0.0)
    assert health.data_active_share == (0.0, 0.5)


def test_a_healthy_iteration_has_neither_diagnosis_nor_warning():
    assert diagnose(GOOD, 10.0) is None
    assert find_warnings(GOOD) == []
    assert not is_wide(GOOD, 10.0)


@pytest.mark.parametrize(
    ("wide_for", "alive"), [(0, True), (1, True), (MAX_WIDE_ITERATIONS, True), (MAX_WIDE_ITERATIONS + 1, False)]
)
def test_wide_chains_are_given_patience(wide_for, alive):
    diagnosis = diagnose(WIDE, 10.0, wide_for)
    assert (diagnosis is None) == alive
    assert alive or "the chains exploded" in diagnosis


@pytest.mark.parametrize("chain_std", [20 * EXPLODED_STD_RATIO, INFINITY, NAN])
def test_exploded_chains_fail_at_once(chain_std):
    health = replace(GOOD, chain_std=chain_std)
    assert is_wide(health, 10.0)
    assert "the chains exploded" in diagnose(health, 10.0)


def test_chains_of_flat_pictures_may_be_as_wide_as_the_reference_is():
    flat = replace(GOOD, data_std=0.0, chain_std=12.0)
    assert diagnose(flat, 10.0) is None
    assert not is_wide(flat, 10.0)
    assert diagnose(replace(flat, chain_std=30.0), 10.0) is not None


@pytest.mark.parametrize("score_difference", [INFINITY, -INFINITY, NAN])
def test_scores_that_are_not_finite_are_diagnosed(score_difference):
    assert "scores" in diagnose(replace(GOOD, score_difference=score_difference), 10.0)


def test_a_layer_without_active_units_on_pictures_and_chains_is_dead():
    low = DEAD_ACTIVE_SHARE / 2
    assert "layer 2 died" in diagnose(replace(GOOD, active_share=(0.3, low), data_active_share=(0.3, low)), 10.0)
    assert diagnose(replace(GOOD, active_share=(0.3, low)), 10.0) is None
    assert diagnose(replace(GOOD, data_active_share=(0.3, low)), 10.0) is None


@pytest.mark.parametrize(
    ("changed", "remark"),
    [
        ({"chain_std": 15.0}, "contrast is 0.75 times the training pictures': more iterations"),
        ({"chain_std": 25.0}, "contrast is 1.25 times the training pictures': a smaller learning_rate"),
        ({"shown_std": 33.0}, "contrast is 1.65 times the training pictures': a smaller learning_rate"),
        ({"shown_std": NAN}, "contrast is nan times"),
        ({"chain_std": 16.5, "shown_std": 13.0}, "contrast is 0.65 times the training pictures': more iterations"),
        ({"data_std": 0.0}, "contrast is inf times"),
        ({"active_share": (0.3, 0.01)}, "1% of the units of layer 2 are active"),
        ({"active_share": (0.97, 0.3)}, "97% of the units of layer 1 are active"),
    ],
)
def test_values_outside_the_tolerances_are_warned_about(changed, remark):
    (found,) = find_warnings(replace(GOOD, **changed))
    assert remark in found


def test_more_iterations_are_not_advised_where_they_were_not_wanted():
    (faint,) = find_warnings(replace(GOOD, chain_std=15.0), ended_early=True)
    assert faint == "the synthesized pictures' contrast is 0.75 times the training pictures'"
    (strong,) = find_warnings(replace(GOOD, chain_std=25.0), ended_early=True)
    assert strong.endswith(": a smaller learning_rate may help")


def test_more_iterations_are_advised_after_few_unless_learning_diverges():
    wrong = replace(GOOD, chain_std=29.0, reconstruction_std=15.0)
    found = find_warnings(wrong, reconstructs=True, few=True, iterations="iterations and canvas_iterations")
    assert len(found) == 2
    assert all(one.endswith(": more iterations and canvas_iterations may help") for one in found)
    for std in (160.0, NAN):
        (diverging,) = find_warnings(replace(GOOD, chain_std=std), few=True)
        assert diverging.endswith(": a smaller learning_rate may help")


def test_the_iterations_that_prolong_the_last_stage_are_advised():
    (faint,) = find_warnings(replace(GOOD, chain_std=15.0), iterations="canvas_iterations")
    assert faint.endswith(": more canvas_iterations may help")


def test_a_net_that_is_to_reconstruct_is_warned_about_if_it_does_not():
    for error, warned in ((10.0, False), (10.1, True), (NAN, True)):
        found = find_warnings(replace(GOOD, reconstruction_std=error), reconstructs=True)
        assert len(found) == warned, error
    assert "off by nan grey levels, where the training pictures' contrast is 20:" in found[0]
    assert find_warnings(replace(GOOD, reconstruction_std=15.0)) == []


@pytest.mark.parametrize(
    "changed", [{"chain_std": 16.5}, {"chain_std": 23.5}, {"shown_std": 16.5}, {"active_share": (0.06, 0.94)}]
)
def test_values_within_the_tolerances_are_not(changed):
    assert find_warnings(replace(GOOD, **changed)) == []


def test_an_objects_one_unit_has_to_fire():
    health = replace(GOOD, active_share=(0.3, 1.0))
    assert find_warnings(health, has_top_filter=True) == []
    assert find_warnings(health) != []


@pytest.mark.parametrize("number", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize("index", range(4))
def test_learning_failed_if_a_weight_or_a_bias_is_no_longer_a_finite_number(index, number):
    """Also if its filter never fires since then, and all scores are finite."""
    net = copy.deepcopy(NET)
    finite = ScoreGradient(1.0, (), (0.3, 0.3))
    chains = torch.ones(1, 1, 2, 2)
    assert diagnose(measure_health(net, chains, 1.0, finite, finite), reference_std=1.0) is None
    with torch.no_grad():
        list(net.parameters())[index].view(-1)[0] = number
    found = diagnose(measure_health(net, chains, 1.0, finite, finite), reference_std=1.0)
    assert found == "the weights or their scores are no longer finite numbers"


@pytest.mark.parametrize(
    ("chain_std", "difference", "found"),
    [(26.0, 0.3, 0.3), (26.0, -0.3, 0.0), (24.0, 0.3, 0.0), (24.0, -0.3, 0.0), (25.0, 0.3, 0.0)],
)
def test_chains_overshoot_if_they_are_wider_than_pictures_under_noise_and_f_is_smaller(chain_std, difference, found):
    health = replace(GOOD, chain_std=chain_std, relative_score_difference=difference)
    assert overshoot(health, reference_std=15.0) == found


def test_pictures_and_chains_without_a_score_do_not_overshoot():
    silent = ScoreGradient(0.0, (), (0.0,))
    assert measure_health(NET, torch.ones(1, 1, 2, 2), 0.5, silent, silent).relative_score_difference == 0


def test_chains_have_a_normal_spread_below_the_bound():
    spread = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    for scale, data_std, reference_std in ((20.0, 20.0, 1.0), (20.0, 1.0, 20.0)):
        assert has_normal_spread(0.99 * NORMAL_STD_RATIO * scale * spread, data_std, reference_std)
        assert not has_normal_spread(1.01 * NORMAL_STD_RATIO * scale * spread, data_std, reference_std)
    assert not has_normal_spread(NAN * spread, 20.0, 1.0)


def test_bounded_chains_may_reach_their_bounds_but_not_stay_there():
    leapt = replace(GOOD, chain_std=4 * GOOD.data_std)
    assert diagnose(leapt, 1.0) is not None
    assert diagnose(leapt, 1.0, bounded=True) is None
    assert diagnose(leapt, 1.0, wide_for=MAX_WIDE_ITERATIONS + 1, bounded=True) is not None
    assert diagnose(replace(GOOD, chain_std=float("nan")), 1.0, bounded=True) is not None
