"""A refusal of a command's job speaks of the command's options, not of fields of a request."""

from typing import Any

import pytest

from api.client.errors import Fault, Invalid
from api.commands.job_commands import classify, sample, train
from api.commands.validation_messages import naming_options, naming_seam


def _said(command: Any, *faults: Fault) -> str:
    with pytest.raises(Invalid) as refused, naming_options(command):
        raise Invalid(422, "as the service says it", faults)
    assert refused.value.errors == faults
    return str(refused.value)


@pytest.mark.parametrize(
    ("command", "field", "argument"),
    [
        (train, "params.image_size", "--image-size"),
        (train, "params.step_size", "--set step_size"),
        (train, "params.layers[0].stride", "--set layers[0].stride"),
        (train, "dataset_id", "PICTURES"),
        (train, "model_name", "--name"),
        (train, "time_limit_seconds", "--time-limit"),
        (train, "priority", "--priority"),
        (sample, "params.start_dataset_id", "--start"),
        (sample, "params.blend[1].weight", "model 2 of --blend"),
        (sample, "model_id", "MODEL"),
        (classify, "model_ids[1]", "model 2 of --model"),
    ],
)
def test_a_field_is_named_as_its_option(command: Any, field: str, argument: str) -> None:
    assert _said(command, Fault(field, "is wrong")) == f"{argument}: is wrong"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("needs a start_dataset_id", "needs a --start"),
        ("needs mode attractor", "needs --mode attractor"),
        ("needs seam: true", "needs --seam"),
        ("at most 3 with image_size 64", "at most 3 with --image-size 64"),
    ],
)
def test_messages_speak_of_options_too(message: str, said: str) -> None:
    assert _said(train, Fault("params.seed", message)) == f"--seed: {said}"


def test_a_file_is_named_instead_of_its_field_and_three_faults_are_said() -> None:
    faults = [Fault(f"images[{index}]", "is broken", f"{index}.png") for index in range(4)]
    assert _said(train, *faults) == "0.png: is broken; 1.png: is broken; 2.png: is broken"


def test_a_refusal_without_faults_is_left_as_it_is() -> None:
    assert _said(train) == "as the service says it"


@pytest.mark.parametrize(
    ("field", "params", "advised"), [("dataset_id", {}, True), ("dataset_id", {"seam": True}, False), ("x", {}, False)]
)
def test_opaque_pictures_may_have_been_meant_for_a_seam(field: str, params: dict[str, Any], advised: bool) -> None:
    with pytest.raises(Invalid) as refused, naming_seam(params):
        raise Invalid(422, "nothing to paint", [Fault(field, "nothing to paint")])
    assert ("--seam makes opaque pictures tileable" in str(refused.value)) == advised
