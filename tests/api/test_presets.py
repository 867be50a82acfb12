import pytest
from support import rows
from support.http import Api

from core.jobs import outcomes
from core.recipe.presets import PRESETS
from core.schemas.learning import LearningParams


def test_presets_describe_every_parameter(api: Api) -> None:
    presets = {preset["name"]: preset for preset in api.client.get("/v1/presets").json()["data"]}
    assert set(presets) == set(PRESETS)
    for name, preset in presets.items():
        assert preset["description"]
        assert LearningParams.model_validate(preset["params"]) == PRESETS[name]
        assert [parameter["name"] for parameter in preset["parameters"]] == list(LearningParams.model_fields)
        for parameter in preset["parameters"]:
            assert parameter["description"]
            assert parameter["bounds"]
            assert parameter["default"] == preset["params"][parameter["name"]]


def test_presets_are_expected_to_take_what_jobs_take_on_this_service(each_api: Api) -> None:
    def seconds() -> dict[str, float | None]:
        presets = each_api.client.get("/v1/presets").json()["data"]
        return {preset["name"]: preset["expected_seconds"] for preset in presets}

    assert set(seconds().values()) == {None}
    lease = rows.claimed(each_api.database)
    outcomes.succeed(each_api.database, lease, [], rows.DONE.model_copy(update={"iteration": 400}))
    rows.alter(each_api.database, lease.job_id, started_at=0.0, finished_at=18.0)
    assert {name for name, value in seconds().items() if value is not None} == {"quick"}
    assert seconds()["quick"] == 18.0


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_accepted(api: Api, name: str) -> None:
    dataset_id = rows.add_dataset(api.database).id
    job = api.post({"kind": "train", "dataset_id": dataset_id, "preset": name}).json()
    assert job["params"] == {**PRESETS[name].model_dump(mode="json"), "seed": job["params"]["seed"]}
