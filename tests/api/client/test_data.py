"""What the service answers, as the client's data."""

from typing import Any

import pytest

from api.client import data
from api.client.data import Data
from api.datasets.schemas import DatasetOut, ImageOut, MapOut, SkippedOut
from api.jobs.schemas import ArtifactOut, ErrorOut, JobOut, PreviewOut
from api.models.schemas import ModelOut
from api.presets import ParameterOut, PresetOut


@pytest.mark.parametrize(
    ("ours", "service"),
    [
        (data.Picture, ImageOut),
        (data.Skipped, SkippedOut),
        (data.Map, MapOut),
        (data.Dataset, DatasetOut),
        (data.Artifact, ArtifactOut),
        (data.Preview, PreviewOut),
        (data.JobError, ErrorOut),
        (data.JobData, JobOut),
        (data.Model, ModelOut),
        (data.Parameter, ParameterOut),
        (data.Preset, PresetOut),
    ],
)
def test_every_field_of_the_service_has_its_type_in_the_client(ours: type[Data], service: Any) -> None:
    names = f"api/client/data.py: {ours.__name__} has the fields of {service.__name__}"
    assert set(ours.model_fields) == set(service.model_fields), names
