"""The complete state of a training run: weights, chains, optimizer, generator, and what recovery and selection keep."""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.recipe.adam import Adam
from core.recipe.schedule import last_iteration
from core.schemas.learning import LearningParams
from core.theory.learning import LearningState, Optimizer
from core.theory.model import Architecture, GenerativeConvNet

OVERSHOOT_MEMORY = 50  # iterations: the time constant of the exponential mean of `overshoot`
GOOD_STATES = 3  # a stage's first, and two more: the older of the two is from well before a failure was noticed

# Names in checkpoint files, which older releases wrote too.
_SCALE = "pace"
_MOMENTS = "adam"
_NET = "net"


@dataclass(frozen=True)
class Snapshot:
    """A copy of a state. `numbers` are JSON numbers."""

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, float]


@dataclass
class TrainingState(LearningState):
    """The state of `core.recipe.learner`; see `LearningState` for the part that the paper has.

    recoveries: how often the present net was rolled back; earlier_recoveries: that of the coarse level.
    learning_rate_scale: what recoveries have reduced the learning rate to. wide_for: iterations in a row for which the
    chains were too widely spread (`core.recipe.diagnosis.is_wide`). mean_overshoot: exponential mean of
    `core.recipe.diagnosis.overshoot` over the iterations. good_states: to roll back to. best: of this stage,
    if params.keep_nearest; its numbers["distance"] is the distance to the training pictures. distances: of the chains
    to the training pictures in this stage, if params.stop_when_steady; steady_at: the iteration at which they were
    found steady. coarse_picture (1, C, S, S): what the coarse level ended with, if there was one, in grey levels about
    the mean of the full-size pictures.
    """

    optimizer: Adam
    learning_rate_scale: float = 1.0
    recoveries: int = 0
    wide_for: int = 0
    mean_overshoot: float = 0.0
    good_states: deque[Snapshot] = field(default_factory=lambda: deque(maxlen=GOOD_STATES))
    best: Snapshot | None = None
    distances: list[float] = field(default_factory=list)
    steady_at: int | None = None
    earlier_recoveries: int = 0
    coarse_picture: Tensor | None = None

    def prepare_to_continue(self, params: LearningParams) -> None:
        """Return to the last stage if it was complete and `params` now ask for more iterations.

        A stage that was found steady goes on to the last of its iterations if `params` no longer ask to stop then.
        """
        if not params.stop_when_steady:
            self._forget_steadiness()
        last_stage = params.of_stage(params.stages - 1)
        if self.stage == params.stages and self.iteration < last_iteration(last_stage, self.steady_at):
            self.stage -= 1
            self._forget_steadiness()

    def begin_stage(self, net: GenerativeConvNet, optimizer: Optimizer, chains: Tensor | None = None) -> None:
        """Continue with a net that has one more layer, or with other chains, and forget the good states of before."""
        super().begin_stage(net, optimizer, chains)
        self.good_states.clear()
        self.wide_for, self.mean_overshoot = 0, 0.0
        self._forget_steadiness()

    def _forget_steadiness(self) -> None:
        """Forget that the stage was found steady, and the good states that say so."""
        self.distances, self.steady_at = [], None
        kept = (one for one in self.good_states if "steady_at" not in one.numbers)
        self.good_states = deque(kept, maxlen=GOOD_STATES)

    def add_distance(self, distance: float) -> None:
        """Add a distance of the chains to the training pictures."""
        self.distances.append(distance)

    def forget_distances(self) -> None:
        """Compare from the beginning again."""
        self.distances.clear()

    def become_steady(self) -> None:
        """Note that the chains have stopped coming nearer to the training pictures in this iteration."""
        self.steady_at = self.iteration

    def forget_coarse_picture(self) -> None:
        """Keep the coarse level's picture no longer: the canvas has begun as it."""
        self.coarse_picture = None

    def count_wide(self, is_wide: bool) -> None:
        """Count the iterations in a row for which the chains were too widely spread."""
        self.wide_for = self.wide_for + 1 if is_wide else 0

    def average_overshoot(self, latest: float) -> None:
        """Take the latest overshoot into the mean."""
        self.mean_overshoot += (latest - self.mean_overshoot) / OVERSHOOT_MEMORY

    def keep_good_state(self) -> None:
        """Keep a copy of this state for `roll_back`, unless one of this iteration or a later one is kept."""
        if self.good_states and self.good_states[-1].numbers["iteration"] >= self.iteration:
            return
        if len(self.good_states) == GOOD_STATES:
            del self.good_states[1]
        self.good_states.append(self.snapshot())

    def roll_back(self, learning_rate_scale: float) -> None:
        """Return to a good state and multiply the learning rate. The generator goes on, so the noise differs.

        Every other time it is the stage's first state: the failure may have begun long before it showed.
        """
        first, *later = self.good_states
        target = later[0] if len(later) > 1 and self.recoveries % 2 == 0 else first
        self.good_states = deque([first], maxlen=GOOD_STATES)
        self._restore(target)
        self.iteration = int(target.numbers["iteration"])
        self.learning_rate_scale *= learning_rate_scale
        self.recoveries += 1
        self.wide_for, self.mean_overshoot = 0, 0.0
        self.distances, self.steady_at = _distances_of(target)

    def keep_if_best(self, distance: float) -> None:
        """Keep a copy of this state if it is nearer to the training pictures than any before."""
        if self.best is None or distance < self.best.numbers["distance"]:
            now = self.snapshot()
            self.best = Snapshot(now.tensors, {**now.numbers, "distance": distance})

    def forget_best(self) -> None:
        """Keep no best state."""
        self.best = None

    def restore_best(self) -> None:
        """Continue with the net, the chains and the optimizer of the best state, if there is one."""
        if self.best is not None:
            self._restore(self.best)
            self.best, self.mean_overshoot = None, 0.0

    @property
    def all_recoveries(self) -> int:
        """How often learning was rolled back on all levels."""
        return self.earlier_recoveries + self.recoveries

    @property
    def best_iteration(self) -> int:
        """The iteration of the best state, which there must be."""
        assert self.best is not None
        return int(self.best.numbers["iteration"])

    def _restore(self, snapshot: Snapshot) -> None:
        """Take the net, the chains and the optimizer from a snapshot of the same stage."""
        other = TrainingState.restored(snapshot, self.net.architecture, self.chains.device, type(self.optimizer))
        self.net, self.chains, self.optimizer = other.net, other.chains, other.optimizer

    def snapshot(self) -> Snapshot:
        """Copy the state."""
        tensors = {f"{_NET}.{name}": value.detach().clone() for name, value in self.net.state_dict().items()}
        tensors["chains"] = self.chains.clone()
        tensors["generator"] = self.generator.get_state()
        if self.distances:
            tensors["distances"] = torch.tensor(self.distances, dtype=torch.float64)
        if self.coarse_picture is not None:
            tensors["coarse_picture"] = self.coarse_picture.clone()
        for index, moments in self.optimizer.moments.items():
            tensors.update({f"{_MOMENTS}.{index}.{name}": value.clone() for name, value in moments.items()})
        numbers: dict[str, float] = {
            "stage": self.stage,
            "iteration": self.iteration,
            "learning_rate_scale": self.learning_rate_scale,
            "recoveries": self.recoveries,
            "wide_for": self.wide_for,
        }
        if self.mean_overshoot:
            numbers["mean_overshoot"] = self.mean_overshoot
        if self.earlier_recoveries:
            numbers["earlier_recoveries"] = self.earlier_recoveries
        if self.steady_at is not None:
            numbers["steady_at"] = self.steady_at
        numbers |= {f"{_SCALE}.{index}": scale for index, scale in enumerate(self.optimizer.scales)}
        return Snapshot(tensors, numbers)

    @classmethod
    def restored(
        cls,
        snapshot: Snapshot,
        architecture: Architecture,
        device: torch.device,
        make_optimizer: type[Adam] = Adam,
        *,
        good_states: Sequence[Snapshot] | None = None,
        best: Snapshot | None = None,
    ) -> "TrainingState":
        """Return the state that was copied, for the net of its stage.

        good_states: by default the snapshot itself. Raises ValueError or KeyError if tensors or numbers are missing or
        do not fit.
        """
        tensors, numbers = snapshot.tensors, snapshot.numbers
        net = _restored_net(tensors, architecture).to(device)
        chains = tensors["chains"].to(device, copy=True)
        if chains.ndim != 4 or chains.shape[1] != architecture.channels:
            raise ValueError(f"chains of {tuple(chains.shape)} do not fit a net of {architecture.channels} channels")
        optimizer = make_optimizer(net, [numbers[f"{_SCALE}.{index}"] for index in range(len(list(net.parameters())))])
        optimizer.load(_below(_MOMENTS, tensors))
        distances, steady_at = _distances_of(snapshot)
        coarse_picture = tensors.get("coarse_picture")
        return cls(
            net=net,
            chains=chains,
            optimizer=optimizer,
            generator=_restored_generator(tensors["generator"], device),
            stage=int(numbers["stage"]),
            iteration=int(numbers["iteration"]),
            learning_rate_scale=float(numbers["learning_rate_scale"]),
            recoveries=int(numbers["recoveries"]),
            wide_for=int(numbers["wide_for"]),
            mean_overshoot=float(numbers.get("mean_overshoot", 0.0)),
            good_states=deque([snapshot] if good_states is None else good_states, maxlen=GOOD_STATES),
            best=best,
            distances=distances,
            steady_at=steady_at,
            earlier_recoveries=int(numbers.get("earlier_recoveries", 0)),
            coarse_picture=None if coarse_picture is None else coarse_picture.to(device, copy=True),
        )


def _distances_of(snapshot: Snapshot) -> tuple[list[float], int | None]:
    """Return the distances of a stage so far, and where it was found steady."""
    steady_at = snapshot.numbers.get("steady_at")
    distances = snapshot.tensors.get("distances", torch.empty(0)).tolist()
    return distances, None if steady_at is None else int(steady_at)


def _restored_net(tensors: Mapping[str, Tensor], architecture: Architecture) -> GenerativeConvNet:
    """Return the net with the weights that were copied. Raises ValueError if they do not fit."""
    net = GenerativeConvNet(architecture)
    try:
        net.load_state_dict(_below(_NET, tensors))
    except RuntimeError as error:
        raise ValueError(f"the checkpoint does not fit the net: {error}") from error
    return net


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix` and a dot, by the rest of their names."""
    start = f"{prefix}."
    return {name.removeprefix(start): one for name, one in tensors.items() if name.startswith(start)}


def _restored_generator(saved: Tensor, device: torch.device) -> torch.Generator:
    """Return the generator as it was saved; if it was on another kind of device, a new one seeded from it."""
    generator = torch.Generator(device)
    if saved.dtype == torch.uint8 and saved.shape == generator.get_state().shape:
        generator.set_state(saved.clone())
        return generator
    digest = hashlib.sha256(saved.cpu().contiguous().numpy().tobytes()).digest()
    return generator.manual_seed(int.from_bytes(digest[:7], "little"))
