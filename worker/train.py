"""The `train` job: a dataset in, a model and its synthesized pictures out."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from core.jobs import requests
from core.jobs.results import NewModel
from core.pictures.images import Levels, filter_sheet, read_picture, sheet, to_pixels, write_picture
from core.pictures.training_set import DEFAULT_MAX_BATCH, TrainingSet, measure_levels
from core.recipe.checkpoint import load_checkpoint, save_checkpoint
from core.recipe.diagnosis import Health, find_warnings
from core.recipe.learner import Learner, TrainingProgress
from core.recipe.lighting import evened
from core.recipe.rendering import render_chains
from core.schemas.jobs import Progress
from core.schemas.learning import LearningParams
from core.storage import datasets
from core.storage.tables import new_id
from core.synthesis.trained_model import TrainedModel, save_model
from core.theory.decoding import reconstruct
from core.theory.model import Architecture
from worker import metrics
from worker.job_context import JobContext
from worker.lease import Stopping, TimeUp
from worker.plot import plot_metrics

KEPT_CHAINS = 4  # go with the model, for sampling to start from
KEPT_OBJECTS = 64  # where a chain is not laid out anew but taken as it is, all that differ count
SHOWN_PICTURES = 4  # of the dataset, on a contact sheet
RECONSTRUCTED_PICTURES = 16  # of the dataset, where contrastive divergence has learned to


def train(desk: JobContext) -> None:
    """Algorithm 1 on the job's dataset, from its last checkpoint where there is one."""
    params = LearningParams.model_validate(desk.claim.params)
    pictures, levels = _load(desk, params)
    checkpoint = desk.claim.checkpoint
    state = load_checkpoint(desk.blobs.get(checkpoint), desk.device) if checkpoint else None
    learner = Learner(pictures, params, state, check_interrupt=desk.lease.check_owner)
    work = _Training(desk, learner, levels)
    work.run()


class _Training:
    """One attempt at a training job."""

    def __init__(self, desk: JobContext, learner: Learner, levels: Levels) -> None:
        self.desk, self.learner, self.levels = desk, learner, levels
        self.params = learner.params
        self.pace = _Pace(learner.architecture, self.params)
        self.previewed_at = self.saved_at = time.monotonic()

    def run(self) -> None:
        self.desk.note(precision=self.learner.engine.precision)
        self.desk.progress(self._standing())
        for learned in metrics.timed(self.learner.iterate()):
            self._tell(learned)
            self._keep(learned)
        self._finish()

    def _standing(self) -> Progress:
        """How far an earlier attempt has come."""
        state, params = self.learner.state, self.params
        done = state.stage * params.iterations + (state.iteration if state.stage < params.stages else 0)
        return Progress(
            stage=min(state.stage + 1, params.stages),
            stages=params.stages,
            iteration=state.iteration,
            iterations=params.iterations,
            fraction=done / (params.stages * params.iterations),
        )

    def _tell(self, learned: TrainingProgress) -> None:
        metrics.learned(learned)
        progress = Progress(
            stage=learned.stage,
            stages=learned.stages,
            iteration=learned.iteration,
            iterations=learned.iterations,
            fraction=learned.fraction,
            eta_seconds=self.pace.remaining_seconds(learned),
        )
        self.desk.progress(progress, (learned.step, _measured(learned, self.levels.gain)))

    def _keep(self, learned: TrainingProgress) -> None:
        """Previews, sheets and checkpoints, each when it is due; and out, when it is time."""
        now = time.monotonic()
        if learned.iteration == learned.iterations:
            self._publish_sheet(f"contact-sheet-{learned.stage}.png")
        if now - self.previewed_at >= self.desk.settings.preview_seconds:
            self._preview(learned.step)
            self.previewed_at = time.monotonic()
        if now - self.saved_at >= self.params.checkpoint_seconds:
            self._save()
        try:
            self.desk.lease.check()
        except (Stopping, TimeUp):
            self._save()
            raise

    def _save(self) -> None:
        state = self.learner.state
        name = f"checkpoint-{state.stage}-{state.iteration}.safetensors"
        self.desk.checkpoint(name, save_checkpoint(state, self.params))
        self.saved_at = time.monotonic()

    def _preview(self, step: int) -> None:
        pixels = sheet(list(self._chains()))
        self.desk.preview(step, write_picture(pixels), (pixels.shape[2], pixels.shape[1]))

    def _publish_sheet(self, name: str) -> None:
        shown = self._first_pictures(SHOWN_PICTURES)
        made = self._reconstructed(shown) if self.params.contrastive else self._chains()
        pixels = sheet([*to_pixels(shown, self.levels), *made], columns=len(shown) if self.params.contrastive else None)
        self.desk.publish(name, "image/png", write_picture(pixels), (pixels.shape[2], pixels.shape[1]))

    def _first_pictures(self, most: int) -> Tensor:
        """Of the dataset, as they are learned, but whole where patches are."""
        return self.learner.pictures.read(range(min(most, self.learner.pictures.count)))

    def _reconstructed(self, pictures: Tensor) -> Tensor:
        """Contrastive divergence learns to reconstruct (Prop. 3): what became of these pictures, one pass each."""
        pictures = pictures[..., : self.params.side, : self.params.side]
        return to_pixels(reconstruct(self.learner.state.net, pictures, self.params.boundary), self.levels)

    def _chains(self) -> Tensor:
        """What the chains synthesized, clean, at the size asked for: on the torus they may be a few pixels larger."""
        size = self.params.side
        return to_pixels(render_chains(self.learner.state.net, self.learner.state.chains, self.params), self.levels)[
            ..., :size, :size
        ]

    def _finish(self) -> None:
        desk, state = self.desk, self.learner.state
        self._save()
        for index, pixels in enumerate(self._chains()):
            desk.add_artifact(f"synthesized-{index:03d}.png", "image/png", write_picture(pixels), _size(pixels))
        if self.params.contrastive and self.params.patch_size is None:
            for index, pixels in enumerate(self._reconstructed(self._first_pictures(RECONSTRUCTED_PICTURES))):
                desk.add_artifact(f"reconstructed-{index:03d}.png", "image/png", write_picture(pixels), _size(pixels))
        filters = filter_sheet(state.net.weights[0])
        desk.add_artifact("filters.png", "image/png", write_picture(filters), _size(filters))
        series = requests.metrics(desk.database, desk.claim.job_id)
        desk.add_artifact("metrics.json", "application/json", json.dumps(series).encode())
        plot, size = plot_metrics(series)
        desk.add_artifact("metrics.png", "image/png", plot, size)
        bound = self.params.top == "object" or self.params.patch_size is not None
        kept = KEPT_OBJECTS if bound else KEPT_CHAINS
        model = TrainedModel(state.net, self.levels, state.chains[:kept], self.params)
        stored = desk.store("model.safetensors", save_model(model))
        about = NewModel(new_id("model"), None, stored, self.params.model_dump(mode="json"), len(self.levels.mean))
        desk.succeed(metrics=self._outcome(), model=about)

    def _outcome(self) -> dict[str, Any]:
        """How healthy learning ended, what it went through on the way, and in what arithmetic."""
        health = self.learner.measure_health()
        return {
            **_in_levels(health, self.levels.gain),
            "remarks": find_warnings(health, self.learner.state.net.has_top_filter),
            "recoveries": self.learner.state.recoveries,
            "precision": self.learner.engine.precision,
        }


class _Pace:
    """How long the rest will take: the iterations of a stage cost as its net does."""

    def __init__(self, architecture: Architecture, params: LearningParams) -> None:
        depths = range(1, params.stages + 1) if params.layerwise else [len(architecture.layers)]
        self._costs = [architecture.truncated(depth).operations(params.side) for depth in depths]
        self._iterations = params.iterations
        self._began_at = time.monotonic()
        self._done = 0

    def remaining_seconds(self, learned: TrainingProgress) -> float:
        self._done += self._costs[learned.stage - 1]
        seconds = (time.monotonic() - self._began_at) / self._done
        left = (self._iterations - learned.iteration) * self._costs[learned.stage - 1]
        return round(seconds * (left + self._iterations * sum(self._costs[learned.stage :])), 1)


def _load(desk: JobContext, params: LearningParams) -> tuple[TrainingSet, Levels]:
    """The dataset's pictures, prepared for learning; held in memory where they are few. Grey where all of them are."""
    assert desk.claim.dataset_id is not None
    rows = datasets.find(desk.database, desk.claim.dataset_id).images
    channels = 1 if all(row.mode in ("L", "LA") for row in rows) else 3

    def one(index: int) -> Tensor:
        picture = read_picture(desk.blobs.get(rows[index].blob), params.image_size, channels)
        return evened(picture, params.even_light)

    def all_in_turn() -> Iterator[Tensor]:
        for index in range(len(rows)):
            desk.lease.check()
            yield one(index)

    held = list(all_in_turn()) if len(rows) <= DEFAULT_MAX_BATCH else None  # no more than one iteration may ask for
    own_mean = params.even_light is not None
    levels, std = measure_levels(held or _EachTime(all_in_turn), params.contrast, own_mean)

    def read(indices: Sequence[int]) -> Tensor:
        desk.lease.check_owner()  # reading a batch from the store may take long
        pictures = torch.stack([held[index] if held else one(index) for index in indices])
        return levels.standardize(pictures, own_mean).to(desk.device)

    return TrainingSet(len(rows), channels, std, levels.box, desk.device, read), levels


@dataclass(frozen=True)
class _EachTime:
    """TrainingSet that are read anew each time that they are gone through."""

    begin: Callable[[], Iterator[Tensor]]

    def __iter__(self) -> Iterator[Tensor]:
        return self.begin()


def _measured(learned: TrainingProgress, gain: float) -> Mapping[str, Any]:
    """The signs of an iteration, deviations in the grey levels of the user's own pictures."""
    return {
        "stage": learned.stage,
        "iteration": learned.iteration,
        "learning_rate": learned.learning_rate,
        "recoveries": learned.recoveries,
        **_in_levels(learned.health, gain),
    }


def _in_levels(health: Health, gain: float) -> dict[str, Any]:
    """What was asked for of them, deviations in the grey levels of the user's own pictures."""
    signs = {name: sign for name, sign in asdict(health).items() if sign is not None}
    return {name: sign / gain if name.endswith("_std") else sign for name, sign in signs.items()}


def _size(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[2], pixels.shape[1]
