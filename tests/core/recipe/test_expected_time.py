"""How long learning takes on a service, by what its jobs took."""

import pytest

from core.recipe.expected_time import (
    FIXED_SECONDS,
    SLOW_MACHINE_FACTOR,
    FinishedTraining,
    expected_seconds,
    learning_range,
    learning_seconds,
)
from core.recipe.presets import PRESETS, TWO_CORE_SECONDS

QUICK = PRESETS["quick"]


@pytest.mark.parametrize("preset", TWO_CORE_SECONDS)
def test_a_presets_own_parameters_take_what_was_measured(preset: str) -> None:
    assert learning_seconds(preset, PRESETS[preset]) == pytest.approx(TWO_CORE_SECONDS[preset])


def test_time_goes_by_pixels_steps_and_iterations() -> None:
    learned = TWO_CORE_SECONDS["quick"] - FIXED_SECONDS
    for changes, times in (
        ({"iterations": 800}, 2.0),
        ({"image_size": 192}, 4.0),
        ({"num_chains": 2, "langevin_steps": 3}, (2 * 4.5 + 1.5) / 5),
        ({"seed": 5, "learning_rate": 1e-5}, 1.0),
    ):
        found = learning_seconds("quick", QUICK.model_copy(update=changes))
        assert found == pytest.approx(FIXED_SECONDS + times * learned)


def test_a_job_takes_as_much_longer_than_measured_as_its_preset() -> None:
    measured = TWO_CORE_SECONDS["quick"]
    assert learning_range("quick", QUICK, None) == (measured, pytest.approx(2 + SLOW_MACHINE_FACTOR * (measured - 2)))
    assert learning_range("quick", QUICK, 41.0) == (41.0, 41.0)
    longer = QUICK.model_copy(update={"iterations": 800})
    assert learning_range("quick", longer, 41.0) == (pytest.approx(80.0), pytest.approx(80.0))
    assert learning_range("object", PRESETS["object"], 41.0) is None


def test_of_what_was_not_measured_nothing_is_expected() -> None:
    slow = [FinishedTraining("quick", QUICK, 100.0)]
    assert learning_seconds("object", PRESETS["object"]) is None
    assert learning_seconds("unheard-of", QUICK) is None
    assert learning_seconds("quick", QUICK.model_copy(update={"optimizer": "adam"})) is None
    assert expected_seconds("object", slow) is None
    assert expected_seconds("photo", []) is None
    assert expected_seconds("photo", [FinishedTraining("object", PRESETS["object"], 100.0)]) is None


def test_a_preset_is_expected_to_take_what_its_own_latest_jobs_took() -> None:
    def took(times: float, preset: str = "photo", alone: bool = True) -> FinishedTraining:
        measured = TWO_CORE_SECONDS[preset] - FIXED_SECONDS
        return FinishedTraining(preset, PRESETS[preset], FIXED_SECONDS + times * measured, alone)

    def times(*finished: FinishedTraining) -> float:
        found = expected_seconds("photo", finished)
        assert found is not None
        return (found - FIXED_SECONDS) / (TWO_CORE_SECONDS["photo"] - FIXED_SECONDS)

    assert times(took(2)) == pytest.approx(2)
    assert expected_seconds("photo", [took(3)]) is None, "other work may have slowed it down"
    assert times(took(3), took(4), took(50)) == pytest.approx(4)
    assert times(took(12), took(1)) == pytest.approx(1), "other work only makes jobs longer"
    assert times(took(12, alone=False), took(12, alone=False), took(2)) == pytest.approx(2)
    assert times(took(12, alone=False), took(9, alone=False)) == pytest.approx(9), "all run beside others here"
    assert expected_seconds("photo", [took(12, alone=False)]) is None, "one that others slowed down tells nothing"
    assert times(*[took(3)] * 5, *[took(9)] * 9) == pytest.approx(3), "older ones do not count"
    assert times(took(3, "quick"), took(2)) == pytest.approx(2), "others do not tell"
    assert times(took(10_000), took(10_000)) == pytest.approx(50), "suspended"
    assert times(took(12, alone=False), took(9, alone=False), took(11)) == pytest.approx(11), "one alone does not tell"
    assert times(took(0.0)) == pytest.approx(1 / 50)
    few = {"coarse_iterations": 4, "iterations": 4, "canvas_iterations": 4}
    short = FinishedTraining("photo", PRESETS["photo"].model_copy(update=few), 60.0)
    assert times(short, took(2)) == pytest.approx(2)
    assert expected_seconds("photo", [short]) is None
    assert expected_seconds("photo", [took(3, "quick")]) is None
