"""Small training runs for tests: pictures, parameters, and ways to interrupt or spoil them."""

import torch

from core.recipe.checkpoint import load_checkpoint, save_checkpoint
from core.recipe.learner import learn
from core.recipe.state import TrainingState
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.theory.learning import architecture_of

CPU = torch.device("cpu")
PARAMS = LearningParams(
    image_size=16,
    layers=(LayerParams(filters=4, kernel_size=5, stride=2), LayerParams(filters=3, kernel_size=3)),
    num_chains=2,
    langevin_steps=2,
    iterations=30,
    learning_rate=1e-3,
    precision="float32",  # on every processor
    seed=5,
)
# Of learning by windows, which ends on a canvas.
OF_WINDOWS = {
    "layers": (LayerParams(filters=4, kernel_size=5, stride=3), LayerParams(filters=3, kernel_size=2)),
    "layerwise": False,
    "num_chains": 2,
    "batch_size": 2,
    "langevin_steps": 2,
    "reference_std": 5.0,
    "step_size": 3.0,
    "seed": 5,
}
STEPS = PARAMS.stages * PARAMS.iterations


def with_(params=PARAMS, **settings):
    return params.model_copy(update=settings)


def pictures(count=2, channels=1, size=16):
    """Slanted stripes of about 20 grey levels with a little noise, about their mean."""
    generator = torch.Generator().manual_seed(1)
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    stripes = 20 * torch.sin((row + column) * 0.8).expand(count, channels, size, size)
    images = stripes + 5 * torch.randn(stripes.shape, generator=generator)
    return images - images.mean(dim=(0, 2, 3), keepdim=True)


def assert_same(one: TrainingState, other: TrainingState):
    """Bit for bit: weights, chains, optimiser, generator and where learning stands."""
    here, there = one.snapshot(), other.snapshot()
    assert here.numbers == there.numbers
    assert here.tensors.keys() == there.tensors.keys()
    different = [name for name, value in here.tensors.items() if not torch.equal(value, there.tensors[name])]
    assert different == []


def stop_at(step):
    return lambda progress, _: progress.step == step


def through_snapshot(state, params):
    architecture = architecture_of(params, state.chains.shape[1]).truncated(len(state.net.weights))
    return TrainingState.restored(state.snapshot(), architecture, CPU)


def through_checkpoint_file(state, params):
    return load_checkpoint(save_checkpoint(state, params), CPU)


def learned_with_checkpoints(images, params, steps):
    """Return the state at the end of learning, and, loaded from checkpoint files, those after each of `steps`.

    As a worker does, it keeps a checkpoint and goes on; a run that stopped there would leave the same state.
    """
    kept = {}

    def keep(progress, state):
        if progress.step in steps:
            kept[progress.step] = save_checkpoint(state, params)

    whole = learn(images, params, callback=keep)
    assert kept.keys() == {*steps}
    return whole, [load_checkpoint(kept[step], CPU) for step in steps]


def kill(state):
    """Switch every unit of the first layer off."""
    with torch.no_grad():
        state.net.biases[0].fill_(-1e6)


def blow_up(state):
    """Make the filters so strong that the chains diverge."""
    with torch.no_grad():
        state.net.weights[0].normal_(0, 1000, generator=torch.Generator().manual_seed(0))


def poison(state):
    with torch.no_grad():
        state.net.weights[0][0, 0, 0, 0] = float("nan")


class Sabotage:
    """A callback that spoils the state once, after `step`, and keeps the progress of each call."""

    def __init__(self, spoil, step, stop=None):
        self.spoil, self.step, self.stop = spoil, step, stop
        self.progress, self.done = [], False

    def __call__(self, progress, state):
        self.progress.append(progress)
        if progress.step == self.step and not self.done:
            self.spoil(state)
            self.done = True
        return progress.step == self.stop and progress.recoveries == 0
