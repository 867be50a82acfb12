"""The `train` job: learn a model from a dataset by Algorithm 1, and synthesize pictures."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import structlog
import torch
from torch import Tensor

from core.engine import FastEngine
from core.jobs import requests
from core.jobs.results import NewModel, checkpoint_name
from core.pictures.images import (
    WHITE,
    Levels,
    filter_sheet,
    rms,
    sheet,
    to_bytes,
    to_pixels,
)
from core.pictures.materials import compared_channels, shown_maps
from core.recipe.checkpoint import load_checkpoint, save_checkpoint
from core.recipe.diagnosis import Health, find_lack_of_windows, find_warnings
from core.recipe.early_stopping import early_end
from core.recipe.expected_time import CANVAS_COST, GRADIENT_STEPS
from core.recipe.learner import Learner, TrainingProgress
from core.recipe.presets import few_iterations
from core.recipe.rendering import detail_filter_of, render_chains
from core.recipe.resemblance import find_differences, measure_resemblance
from core.schemas.jobs import Progress
from core.schemas.learned import LearnedSettings, boundary_of_pictures
from core.schemas.learning import DEFAULT_MAX_BATCH, LearningParams
from core.schemas.materials import MaterialMap
from core.schemas.sampling import SampleParams
from core.storage import datasets
from core.storage.errors import LeaseLost
from core.storage.tables import new_id
from core.synthesis.sampler import ModelSampler
from core.synthesis.trained_model import TrainedModel, save_model
from core.theory.decoding import reconstruct
from core.theory.learning import architecture_at, observed_units
from core.theory.model import Architecture
from worker import metrics
from worker.job_context import JobContext
from worker.lease_renewer import JobCanceled, TimeLimitReached, WorkerStopping
from worker.origins import Origins
from worker.picture_warnings import find_enlarged, find_few
from worker.plot import plot_metrics
from worker.previews import Previews
from worker.progress import RemainingTime
from worker.results import add_heights, named_pictures
from worker.training_pictures import load_material, load_pictures
from worker.training_processes import TrainingProcesses, training_processes

KEPT_CHAINS = 4  # stored with the model, for sampling to start from
KEPT_FIXED_CHAINS = 64  # if samples start as whole chains instead of patches of them, more chains mean more variety
SHEET_PICTURES = 4  # of the dataset, on a contact sheet
DRAWN_PICTURES = 2  # if the chains are windows of a texture
DRAWN_SIDE = 1024  # pixels along each side of these
RECONSTRUCTED_PICTURES = 16  # of the dataset, after contrastive divergence
LEARNED_SHARE = 0.99  # of a job's progress: then its results are measured and stored

log = structlog.get_logger()


def train(context: JobContext) -> None:
    """Run Algorithm 1 on the job's dataset, from the last checkpoint if there is one."""
    params = LearningParams.model_validate(context.lease.params)
    assert context.lease.dataset_id is not None
    dataset = datasets.find(context.database, context.lease.dataset_id)
    maps = datasets.maps_of(dataset)
    if maps:
        pictures, levels = load_material(context, dataset.images, maps, params)
    else:
        pictures, levels = load_pictures(context, params)
    checkpoint = context.lease.checkpoint
    state = load_checkpoint(context.blobs.get(checkpoint), context.device) if checkpoint else None
    with training_processes(context, params) as processes:
        learner = Learner(pictures, params, state, processes.engine, context.renewer.check_canceled)
        warnings = [*([] if maps else find_few(dataset.images, params)), *find_enlarged(dataset.images, params)]
        run = _TrainingRun(context, learner, levels, maps, processes, warnings)
        health = run.learn()
    run.finish(health)


class _TrainingRun:
    """One attempt at a training job: it learns, and stores previews, checkpoints and results."""

    def __init__(
        self,
        context: JobContext,
        learner: Learner,
        levels: Levels,
        maps: tuple[MaterialMap, ...] = (),
        processes: TrainingProcesses = TrainingProcesses(),
        warnings: Sequence[str] = (),
    ) -> None:
        """warnings: those about the training pictures."""
        self.context, self.learner, self.levels, self.maps = context, learner, levels, maps
        self.processes, self.warnings = processes, warnings
        self.params = learner.params
        self.time_estimate = _TimeEstimate(learner.architecture, self.params)
        self.previews = Previews(context)
        self.saved_at = time.monotonic()
        self.saved: tuple[int, int] | None = None  # stage and iteration of this attempt's last checkpoint

    def learn(self) -> Health:
        """Learn to the end, store a last checkpoint, and return the health of the final state.

        Of a job that is canceled it stores a checkpoint too, from which it can be resumed, if there is time for it.
        """
        known = {"remarks": list(self.warnings)} if self.warnings else {}
        self.context.set_metrics(precision=self.learner.engine.precision, processes=self.processes.count, **known)
        self.context.report_progress(self._progress_at_start())
        try:
            for progress in metrics.observe_durations(self.learner.iterate()):
                self._report(progress)
                self._publish(progress)
                self._save_when_due()
        except JobCanceled:
            self._save_if_possible()
            raise
        self._save()
        return self.learner.measure_health()

    def _progress_at_start(self) -> Progress:
        """Return the progress of earlier attempts."""
        state, stages, iterations = self.learner.state, self.params.stages, self.learner.last_iteration
        done = state.stage + (state.iteration / iterations if state.stage < stages else 0)
        return Progress(
            stage=min(state.stage + 1, stages),
            stages=stages,
            iteration=state.iteration,
            iterations=iterations,
            fraction=LEARNED_SHARE * done / stages,
        )

    def _report(self, progress: TrainingProgress) -> None:
        metrics.record_training(progress)
        gain = self.levels.gain * (self.learner.coarse_level.gain if self.learner.coarse_level else 1.0)
        job_progress = Progress(
            stage=progress.stage,
            stages=progress.stages,
            iteration=progress.iteration,
            iterations=progress.last_iteration,
            fraction=LEARNED_SHARE * progress.fraction,
            eta_seconds=self.time_estimate.remaining_seconds(progress) or None,  # the results' time is not estimated
        )
        self.context.report_progress(job_progress, (progress.step, _metrics_point(progress, gain)))

    def _publish(self, progress: TrainingProgress) -> None:
        """Publish a contact sheet after each stage, and a preview when one is due."""
        if progress.iteration == progress.last_iteration:
            self.context.publish_picture(f"contact-sheet-{progress.stage}.png", self._contact_sheet())
        self.previews.publish_when_due(
            progress.step, progress.stage, progress.iteration, lambda: self._sheet(self._synthesized(roughly=True))
        )

    def _save_when_due(self) -> None:
        """Store a checkpoint every `checkpoint_seconds`. If the work has to stop, store one if possible and raise."""
        if time.monotonic() - self.saved_at >= self.params.checkpoint_seconds:
            self._save()
        try:
            self.context.renewer.check_stop()
        except (WorkerStopping, TimeLimitReached):
            self._save()
            raise

    def _save_if_possible(self) -> None:
        """Store a checkpoint of a canceled job. If that fails, the job is canceled all the same. Raises LeaseLost."""
        state = self.learner.state
        if not self.learner.between_iterations or (state.stage, state.iteration) in ((0, 0), self.saved):
            return
        self.context.renewer.wait_for_storage()
        try:
            self._save()
        except LeaseLost:
            raise
        except Exception as error:  # of the disk, the database or the file storage
            log.warning("canceled_job_not_stored", error=f"{type(error).__name__}: {error}")

    def _save(self) -> None:
        state = self.learner.state
        name = checkpoint_name(state.stage, state.iteration)
        self.context.store_checkpoint(name, save_checkpoint(state, self.params))
        self.saved, self.saved_at = (state.stage, state.iteration), time.monotonic()

    def _contact_sheet(self) -> Tensor:
        """Return training and synthesized pictures; after contrastive divergence, reconstructed ones.

        Unknown pixels are white.
        """
        learner = self.learner
        pictures = self._first_pictures(SHEET_PICTURES)
        if self.params.of_windows:  # windows of the pictures, or the pictures as a coarse level or a canvas sees them
            pictures = learner.in_full_contrast(learner.examples[:SHEET_PICTURES])
        learned = self._reconstructed(pictures) if self.params.contrastive else self._synthesized()
        columns = len(pictures) if self.params.contrastive else None
        given = self.levels.to_grey_levels(pictures.cpu())
        if self.maps:
            return self._sheet(torch.cat([given, learned]))
        return sheet([*to_bytes(given.nan_to_num(WHITE)), *learned], columns=columns)

    def _sheet(self, pictures: Tensor) -> Tensor:
        """Arrange synthesized pictures on a sheet; of materials, the maps of each in a row."""
        if not self.maps:
            return sheet(list(pictures))
        shown = [one for picture in pictures for one in shown_maps(picture, self.maps)]
        return sheet(shown, columns=len(self.maps))

    def _first_pictures(self, count: int) -> Tensor:
        """Return the first `count` training pictures as they are learned, whole even if patches are learned."""
        return self.learner.pictures.read(range(min(count, self.learner.pictures.count)))

    def _opaque_share(self) -> float | None:
        """Return the share of the first pictures' windows that are opaque, and so learned from; None if all are."""
        pictures, boundary = self._first_pictures(SHEET_PICTURES), boundary_of_pictures(self.params.boundary)
        units = observed_units(pictures, self.learner.architecture, boundary) if self.params.learns_parts else None
        return None if units is None else units.float().mean().item()

    def _reconstructed(self, pictures: Tensor) -> Tensor:
        """Reconstruct training pictures in one pass, which is what contrastive divergence learns (Prop. 3)."""
        pictures = pictures[..., : self.params.side, : self.params.side]
        return to_pixels(reconstruct(self.learner.state.net, pictures, self.params.boundary), self.levels)

    def _synthesized(self, detail_filter: Tensor | None = None, roughly: bool = False) -> Tensor:
        """Return the denoised chains (N, C, S, S): uint8, or of a material grey levels in float32.

        On the torus chains may be a few pixels larger: they are cut. detail_filter: of the finished model. roughly:
        denoise them in one stride phase instead of the mean of all, at the cost of one Langevin step. A net that has
        learned little takes chains for noise and leaves almost nothing of them: then they are returned as they are.
        """
        state, params = self.learner.state, self.learner.stage_params
        if roughly:
            params = params.model_copy(update={"random_lattice": False})
        rendered = render_chains(state.net, state.chains, params, FastEngine(), detail_filter)
        if roughly and rms(rendered) < params.picture_noise / 2:
            rendered = state.chains
        rendered = self.learner.in_full_contrast(rendered[..., : params.side, : params.side])
        return self.levels.to_grey_levels(rendered.detach().cpu()) if self.maps else to_pixels(rendered, self.levels)

    def finish(self, health: Health) -> None:
        """Store the pictures, the metrics and the model, and end the job. health: of the final state.

        Needs no process besides this one, which then uses all the worker's cores.
        """
        context, net = self.context, self.learner.state.net
        context.renewer.check_canceled()  # it also sets the number of threads
        model = self._trained_model()
        stored = self._store(model)  # first, because the pictures name it
        origins = Origins.of(context, self.learner.engine.precision, stored.stored.sha256, self.processes.count)
        results = list(self._results(model))
        for index, drawn in enumerate(results):
            for name, pixels in named_pictures(index, drawn, self.maps):
                context.add_picture(name, pixels, origins.origin(name, index))
            add_heights(context, index, drawn, self.maps)
        if self.params.contrastive and self.params.patch_size is None:
            for index, pixels in enumerate(self._reconstructed(self._first_pictures(RECONSTRUCTED_PICTURES))):
                name = f"reconstructed-{index:03d}.png"
                context.add_picture(name, pixels, origins.origin(name, index))
        context.add_picture("filters.png", filter_sheet(net.weights[0][:, compared_channels(self.maps) or slice(3)]))
        series = requests.metrics(context.database, context.lease.job_id)
        context.add_artifact("metrics.json", "application/json", json.dumps(series).encode())
        plot, size = plot_metrics(series)
        context.add_artifact("metrics.png", "image/png", plot, size)
        context.succeed(metrics=self._final_metrics(health, torch.stack(results)), model=stored)

    def _results(self, model: TrainedModel) -> Iterable[Tensor]:
        """Yield the pictures that the job ends with (C, H, W): uint8, or of a material grey levels in float32.

        They are the chains, a canvas among them; or if these are windows, a few pictures as large as the training
        pictures, or as DRAWN_SIDE if these are larger: sampling jobs draw more and larger ones, with progress and in
        parallel.
        """
        side = min(self.params.image_size, DRAWN_SIDE)
        if not self.params.of_windows or self.learner.stage_params.side >= side:
            yield from self._synthesized(model.detail_filter)
            return
        asked = SampleParams(
            count=min(self.params.num_chains, DRAWN_PICTURES), width=side, height=side, seed=self.params.seed
        )
        learned = LearnedSettings.model_validate(self.params.model_dump())
        sampler = ModelSampler.of(model, asked.resolved(learned, seed=0))
        for index in range(asked.count):
            yield sampler.draw(index, lambda _: self.context.renewer.check_stop())

    def _trained_model(self) -> TrainedModel:
        state, params = self.learner.state, self.params
        kept = KEPT_FIXED_CHAINS if params.fixed_size else KEPT_CHAINS
        detail_filter = None
        if not self.maps:  # one filter for all channels
            detail_filter = detail_filter_of(state.net, state.chains, params, self.learner.examples, FastEngine())
        return TrainedModel(state.net, self.levels, state.chains[:kept], params, self.maps, detail_filter)

    def _store(self, model: TrainedModel) -> NewModel:
        stored = self.context.store_file("model.safetensors", save_model(model))
        params, channels = self.params.model_dump(mode="json"), len(self.levels.mean)
        return NewModel(new_id("model"), stored, params, channels, self.maps)

    def _final_metrics(self, health: Health, results: Tensor) -> dict[str, Any]:
        """Return the health at the end, how `results` (N, C, H, W) resemble the training picture, warnings about both.

        Also the number of recoveries, the precision, the processes of this attempt, the iteration at which
        `stop_when_steady` found the pictures steady, if it did, and `opaque_share`, if pictures have transparent parts.
        """
        picture = self.levels.to_grey_levels(self._first_pictures(1).cpu())[0]
        compared = compared_channels(self.maps)
        resemblance = (
            measure_resemblance(results[:, compared], picture[compared], self.params) if compared is not None else None
        )
        steady_at = self.learner.state.steady_at
        end = early_end(self.params, steady_at)
        opaque_share, window = self._opaque_share(), self.learner.architecture.receptive_field
        reconstructs = self.params.contrastive and not self.params.of_patches
        few = [] if end else few_iterations(self.params)
        more = ", ".join([*few[:-2], " and ".join(few[-2:])]) or self.params.last_iterations
        has_top_filter = self.learner.state.net.has_top_filter
        warnings = find_warnings(health, has_top_filter, end is not None, reconstructs, bool(few), more)
        return {
            **_health_metrics(health, self.levels.gain),
            **(asdict(resemblance) if resemblance else {}),
            "remarks": [
                *self.processes.warnings,
                *self.warnings,
                *([end] if end else []),
                *warnings,
                *(find_lack_of_windows(opaque_share, window) if opaque_share is not None else []),
                *(find_differences(resemblance, more) if resemblance else []),
            ],
            "recoveries": self.learner.state.all_recoveries,
            **({"steady_at": steady_at} if steady_at is not None else {}),
            **({"opaque_share": opaque_share} if opaque_share is not None else {}),
            "precision": self.learner.engine.precision,
            "processes": self.processes.count,
        }


class _TimeEstimate:
    """Estimates the remaining time, from the cost of an iteration in each stage."""

    def __init__(self, architecture: Architecture, params: LearningParams) -> None:
        self._costs = [_cost_of_iteration(architecture, params, stage) for stage in range(params.stages)]
        self._iterations = [params.of_stage(stage).iterations for stage in range(params.stages)]
        self._remaining_time = RemainingTime()
        self._done = 0.0

    def remaining_seconds(self, progress: TrainingProgress) -> float | None:
        """Return the estimate; None if there is none yet. Call it once after each iteration."""
        self._done += self._costs[progress.stage - 1]
        left = (progress.last_iteration - progress.iteration) * self._costs[progress.stage - 1]
        later = zip(self._iterations[progress.stage :], self._costs[progress.stage :], strict=True)
        return self._remaining_time.estimate(self._done, left + sum(iterations * cost for iterations, cost in later))


def _cost_of_iteration(architecture: Architecture, params: LearningParams, stage: int) -> float:
    """Return the relative cost of an iteration in a stage, counted from 0."""
    of_stage = params.of_stage(stage)
    pictures = of_stage.batch_size or DEFAULT_MAX_BATCH
    chains = pictures if of_stage.contrastive else of_stage.num_chains
    steps = chains * (of_stage.langevin_steps + GRADIENT_STEPS) + pictures * GRADIENT_STEPS
    cost = steps * architecture_at(params, architecture.channels, stage).operations(of_stage.side)
    return CANVAS_COST * cost if stage >= params.coarse_stages + params.layer_stages else cost


def _metrics_point(progress: TrainingProgress, gain: float) -> Mapping[str, Any]:
    """Return what is stored of one iteration; see `_health_metrics`."""
    return {
        "stage": progress.stage,
        "iteration": progress.iteration,
        "learning_rate": progress.learning_rate,
        "recoveries": progress.recoveries,
        **_health_metrics(progress.health, gain),
    }


def _health_metrics(health: Health, gain: float) -> dict[str, Any]:
    """Return the measured values; standard deviations are divided by `gain`, so in the pictures' own grey levels."""
    values = {name: value for name, value in asdict(health).items() if value is not None}
    return {name: value / gain if name.endswith("_std") else value for name, value in values.items()}
