"""Materials learned and drawn by a worker: one file a map, with the bits of the original."""

import io

import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image
from support.pictures import encoded
from support.worker_harness import WorkerHarness

from core.jobs.requests import NewJob
from core.pictures.deep_png import read_samples
from core.pictures.images import Levels, write_picture
from core.pictures.origin import read_origin
from core.schemas.jobs import JobKind, JobStatus
from core.schemas.learned import LearnedSettings
from core.schemas.learning import LearningParams
from core.schemas.materials import MaterialMap, channels_of
from core.schemas.references import models_of
from core.schemas.sampling import ResolvedSampleParams, SampleParams
from core.storage import models
from core.storage.tables import Job
from core.synthesis.trained_model import load_model
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

SIDE = 24
MAPS = (
    MaterialMap(role="albedo", channels=3, bits=8),
    MaterialMap(role="normal", channels=3, bits=8),
    MaterialMap(role="height", channels=1, bits=16),
)
PARAMS = LearningParams(
    image_size=SIDE,
    layers=({"filters": 6, "kernel_size": 5, "stride": 2},),
    num_chains=2,
    langevin_steps=1,
    reference_std=10.0,
    step_size=6.0,
    picture_noise=10.0,
    contrast=50.0,
    even_light=8.0,
    bounded=True,
    random_lattice=True,
    keep_nearest=True,
    orientations=("0", "flipped-90"),
    iterations=3,
    learning_rate=6e-4,
    seed=1,
)


def _files(count: int = len(MAPS)) -> list[bytes]:
    random = np.random.default_rng(1)
    drawn = [random.integers(0, 2**one.bits, (one.channels, SIDE, SIDE)).astype(f"u{one.bits // 8}") for one in MAPS]
    return [write_picture(torch.from_numpy(pixels)) for pixels in drawn[:count]]


def _check_files(harness: WorkerHarness, job: Job, index: int, width: int, height: int) -> None:
    """Check that the job's results have a file for each map, with its channels and bits, and unit normals."""
    for one in MAPS:
        samples = read_samples(harness.file(job, f"synthesized-{index:03d}-{one.role}.png"))
        assert samples.shape == (height, width, one.channels)
        assert 8 * samples.itemsize == one.bits
        if one.role == "normal":
            lengths = np.linalg.norm(samples / 127.5 - 1, axis=2)
            assert np.abs(lengths - 1).max() < 0.01
        if one.bits == 16:
            assert (samples % 257 != 0).mean() > 0.9, "levels between those of 8 bits"
    exact = OpenEXR.File(io.BytesIO(harness.file(job, f"height-{index:03d}.exr"))).channels()["Y"].pixels
    assert (exact.dtype, exact.shape) == (np.float32, (height, width))
    off = np.abs(exact.astype(np.float64) * 65535 - samples[..., 0])  # of the height map, the last of MAPS
    assert 0.1 < off.max() < 0.51, "not rounded"


def test_a_material_is_learned_and_drawn_with_a_file_for_each_map(harness: WorkerHarness) -> None:
    dataset_id = harness.add_material(MAPS, _files())
    job = harness.work(NewJob(kind=JobKind.TRAIN, params=PARAMS.model_dump(mode="json"), dataset_id=dataset_id))
    assert job.status == JobStatus.SUCCEEDED
    names = {one.name for one in job.artifacts}
    assert {name for name in names if name.startswith("synthesized")} == {
        f"synthesized-{index:03d}-{one.role}.png" for index in range(2) for one in MAPS
    }
    for index in range(2):
        _check_files(harness, job, index, SIDE, SIDE)
    with Image.open(io.BytesIO(harness.file(job, "contact-sheet-1.png"))) as sheet:
        assert (sheet.mode, sheet.size) == ("RGB", (3 * (SIDE + 2) - 2, 3 * (SIDE + 2) - 2)), "a row for each material"
    row = models.find(harness.database, job.model_id)
    assert (row.channels, [MaterialMap.model_validate(one) for one in row.maps]) == (7, list(MAPS))
    assert load_model(harness.blobs.get(row.blob)).maps == MAPS

    params = SampleParams(count=2, width=30, height=25, steps=2, seed=3, tileable=True)
    asked = params.resolved(LearnedSettings.model_validate(row.params), seed=0)
    sampled = harness.work(NewJob(kind=JobKind.SAMPLE, params=asked.model_dump(mode="json"), model_id=row.id))
    for index in range(2):
        _check_files(harness, sampled, index, 30, 25)
    last = harness.file(sampled, "synthesized-001-height.png")
    origin = read_origin(io.BytesIO(last))
    assert (origin.name, origin.params["seed"]) == ("synthesized-000-height.png", 4)
    alone = harness.work(NewJob(kind=JobKind.SAMPLE, params=dict(origin.params), model_id=row.id))
    assert harness.file(alone, origin.name) == last


def test_windows_at_any_angle_of_a_material_without_comparable_maps_are_learned(harness: WorkerHarness) -> None:
    maps = (MaterialMap(role="normal", channels=3, bits=8),)
    dataset_id = harness.add_material(maps, _files()[1:2])
    of_windows = {"patch_size": 13, "batch_size": 2, "even_light": None, "iterations": 1, "orientations": ("any",)}
    params = LearningParams.model_validate({**PARAMS.model_dump(), **of_windows})
    job = harness.work(NewJob(kind=JobKind.TRAIN, params=params.model_dump(mode="json"), dataset_id=dataset_id))
    samples = read_samples(harness.file(job, "synthesized-001-normal.png"))
    assert samples.shape == (SIDE, SIDE, 3)
    assert np.linalg.norm(samples / 127.5 - 1, axis=2) == pytest.approx(1, abs=0.01)
    assert "structure_ratio" not in job.metrics


def test_materials_are_blended_where_the_mask_is_white_in_all_maps_alike(harness: WorkerHarness) -> None:
    def add(mean: float, stride: int) -> str:
        layers = ({"filters": 6, "kernel_size": 5, "stride": stride},)
        params = LearningParams.model_validate({**PARAMS.model_dump(), "layers": layers})
        channels = channels_of(MAPS)
        net = GenerativeConvNet(architecture_of(params, channels), torch.Generator().manual_seed(stride))
        levels = Levels(torch.tensor([*[mean] * 3, 127.5, 127.5, 255.0, mean]), shares=torch.full((channels,), 2.0))
        chains = torch.randn(2, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(stride))
        return harness.add_model(net, params, levels, 10 * chains, MAPS)

    def blend(left: int, right: int) -> Job:
        mask = Image.new("L", (48, 32), left)
        mask.paste(right, (24, 0, 48, 32))
        entry = {"model_id": other, "mask_dataset_id": harness.add_dataset(a=encoded(mask, "PNG"))}
        return draw(blend=[entry])

    def draw(**changes: object) -> Job:
        asked = {"count": 1, "width": 48, "height": 32, "steps": 3, "step_size": 6.0, "seed": 3, **changes}
        params = ResolvedSampleParams.model_validate(asked).model_dump(mode="json")
        new = NewJob(JobKind.SAMPLE, params, model_id=dark, model_ids=tuple(models_of(params).values()))
        return harness.work(new)

    dark, other = add(60.0, 2), add(190.0, 3)
    blended = blend(0, 255)
    _check_files(harness, blended, 0, 48, 32)
    for role, depth in (("albedo", 1), ("height", 257)):
        levels = read_samples(harness.file(blended, f"synthesized-000-{role}.png")) / depth
        assert levels[:, :14].mean() == pytest.approx(60, abs=15)
        assert levels[:, -14:].mean() == pytest.approx(190, abs=15)
    plain, black = draw(), blend(0, 0)
    for one in MAPS:
        files = (harness.file(job, f"synthesized-000-{one.role}.png") for job in (plain, black))
        assert np.array_equal(*map(read_samples, files)), "a black mask changes nothing"
