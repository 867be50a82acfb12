"""The layout that model_file.py requires is the layout that save_model writes, for every kind of model."""

import tempfile
from dataclasses import replace

import pytest
import torch

from api.models.import_check import check_model_file
from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels
from core.pictures.training_set import TrainingSet
from core.recipe.presets import PRESETS
from core.schemas.learning import LearningParams
from core.schemas.materials import MaterialMap
from core.schemas.model_file import DETAIL_FILTER_SIDE, BrokenFile
from core.synthesis.trained_model import TrainedModel, load_model, save_model
from core.theory.learning import architecture_of, first_chains
from core.theory.model import GenerativeConvNet

SMALL = {"num_chains": 2, "seed": 1, "batch_size": None}


def _cases() -> dict[str, LearningParams]:
    presets = {name: LearningParams.model_validate({**p.model_dump(), **SMALL}) for name, p in PRESETS.items()}
    layers = ({"filters": 3, "kernel_size": 5, "stride": 3}, {"filters": 2, "kernel_size": 3, "stride": 2})
    forms = [(top, edge) for top in ("convolutional", "object", "category") for edge in ("valid", "torus", "padded")]
    made = {
        f"{top}-{edge}": LearningParams(image_size=32, layers=layers, top=top, boundary=edge, **SMALL)
        for top, edge in forms
        if (top, edge) != ("object", "torus")
    }
    windows = {"image_size": 64, "patch_size": 32, "boundary": "torus", "layerwise": False, "canvas_iterations": 1}
    return presets | made | {"canvas": LearningParams.model_validate({"layers": layers, **windows, **SMALL})}


@pytest.mark.parametrize("params", _cases().values(), ids=_cases().keys())
@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_model_has_the_required_layout(params: LearningParams, channels: int) -> None:
    architecture = architecture_of(params, channels)
    pictures = TrainingSet.of(torch.zeros(2, channels, params.image_size, params.image_size))
    last_stage = params.of_stage(params.stages - 1)
    chains = first_chains(pictures, last_stage, architecture, torch.Generator())
    low = torch.zeros(channels, 1, 1)
    levels = Levels(torch.zeros(channels), 2.0, ColourBox(low, low + 1, torch.eye(channels)))
    content = save_model(TrainedModel(GenerativeConvNet(architecture), levels, chains, params))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        header = check_model_file(file)
    assert (header.params, header.channels) == (params, channels)


def test_the_filter_of_fine_detail_is_kept_and_checked() -> None:
    params = PRESETS["quick"]
    kernel = torch.rand(DETAIL_FILTER_SIDE, DETAIL_FILTER_SIDE)
    net, chains = GenerativeConvNet(architecture_of(params, 1)), torch.zeros(1, 1, 96, 96)
    model = TrainedModel(net, Levels(torch.zeros(1)), chains, params, detail_filter=kernel)
    found = load_model(save_model(model))
    assert found.detail_filter is not None
    assert torch.equal(found.detail_filter, kernel)
    assert load_model(save_model(replace(model, detail_filter=None))).detail_filter is None
    with tempfile.TemporaryFile() as file:
        file.write(save_model(model))
        assert check_model_file(file).channels == 1
    for wrong in (kernel[:3], kernel * torch.nan):
        content = save_model(replace(model, detail_filter=wrong))
        with pytest.raises(BrokenFile, match="detail_filter"):
            load_model(content)
    with tempfile.TemporaryFile() as file:
        file.write(save_model(replace(model, detail_filter=kernel[:3])))
        with pytest.raises(BrokenFile, match="'detail_filter' is F32"):
            check_model_file(file)


def test_the_model_of_a_material_keeps_its_maps_and_their_gains() -> None:
    params = LearningParams(image_size=32, layers=({"filters": 3, "kernel_size": 5},), **SMALL)
    maps = (
        MaterialMap(role="albedo", channels=3, bits=8),
        MaterialMap(role="normal", channels=3, bits=16),
        MaterialMap(role="height", channels=1, bits=16),
    )
    shares = torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 0.5])
    levels = Levels(torch.arange(7.0), 2.0, shares=shares)
    net = GenerativeConvNet(architecture_of(params, 7))
    content = save_model(TrainedModel(net, levels, torch.zeros(1, 7, 32, 32), params, maps))
    found = load_model(content)
    assert found.maps == maps
    assert torch.equal(found.levels.gains, 2 * shares)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        header = check_model_file(file)
    assert (header.channels, header.maps) == (7, maps)
    twice = content.replace(b'\\"height\\"', b'\\"normal\\"')
    assert twice != content
    with pytest.raises(BrokenFile, match="a role is there twice"):
        load_model(twice)
