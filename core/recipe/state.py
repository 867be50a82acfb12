"""All that decides how learning goes on: weights, chains, optimiser, generator, and where it stands."""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.theory.model import Architecture, GenerativeConvNet

ADAM_BETAS = (0.5, 0.99)
KEPT_SNAPSHOTS = 3  # a stage's first, and two more: the older of two is from well before a trouble was noticed


@dataclass(frozen=True)
class Snapshot:
    """A copy of a state. The numbers are JSON's."""

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, float]


@dataclass
class LearningState:
    """`stage` counts from 0, `iteration` is how many are done within it; chains (M̃, C, H, W) in grey levels."""

    net: GenerativeConvNet
    chains: Tensor
    optimizer: torch.optim.Adam
    generator: torch.Generator
    stage: int = 0
    iteration: int = 0
    learning_rate_scale: float = 1.0
    recoveries: int = 0
    wide_for: int = 0  # iterations in a row, see core.recipe.diagnosis
    good: deque[Snapshot] = field(default_factory=lambda: deque(maxlen=KEPT_SNAPSHOTS))
    nearest: Snapshot | None = None  # of this stage, where the settings ask for it; numbers["distance"] says how near

    def remember(self) -> None:
        """Keep a copy of this good state, to which `go_back` can return."""
        if self.good and self.good[-1].numbers["iteration"] >= self.iteration:
            return
        if len(self.good) == KEPT_SNAPSHOTS:
            del self.good[1]
        self.good.append(self.snapshot())

    def go_back(self, learning_rate_scale: float) -> None:
        """Return to a good state, with a smaller learning rate; the generator goes on: other noise.

        To one of some time ago, and every other time to the stage's first: the trouble may have begun long before
        it showed.
        """
        first, *later = self.good
        target = later[0] if len(later) > 1 and self.recoveries % 2 == 0 else first
        self.good = deque([first], maxlen=KEPT_SNAPSHOTS)
        self._take_up(target)
        self.iteration = int(target.numbers["iteration"])
        self.learning_rate_scale *= learning_rate_scale
        self.recoveries += 1
        self.wide_for = 0

    def remember_nearest(self, distance: float) -> None:
        """Keep a copy of this state where it is nearer than any before."""
        if self.nearest is None or distance < self.nearest.numbers["distance"]:
            now = self.snapshot()
            self.nearest = Snapshot(now.tensors, {**now.numbers, "distance": distance})

    def end_nearest(self) -> None:
        """Take up what `remember_nearest` kept, as if the iterations since had led there."""
        if self.nearest is not None:
            self._take_up(self.nearest)
            self.nearest = None

    def _take_up(self, snapshot: Snapshot) -> None:
        """The net, the chains and the optimiser of another moment of this stage."""
        other = LearningState.restored(snapshot, self.net.architecture, self.chains.device)
        self.net, self.chains, self.optimizer = other.net, other.chains, other.optimizer

    def snapshot(self) -> Snapshot:
        tensors = {f"net.{name}": value.detach().clone() for name, value in self.net.state_dict().items()}
        tensors["chains"] = self.chains.clone()
        tensors["generator"] = self.generator.get_state()
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors.update({f"adam.{index}.{name}": value.clone() for name, value in moments.items()})
        numbers: dict[str, float] = {
            "stage": self.stage,
            "iteration": self.iteration,
            "learning_rate_scale": self.learning_rate_scale,
            "recoveries": self.recoveries,
            "wide_for": self.wide_for,
        }
        numbers |= {f"pace.{index}": group["pace"] for index, group in enumerate(self.optimizer.param_groups)}
        return Snapshot(tensors, numbers)

    @classmethod
    def restored(cls, snapshot: Snapshot, architecture: Architecture, device: torch.device) -> "LearningState":
        """The state that `snapshot` copied, for the net of its stage. ValueError or KeyError where they do not fit."""
        tensors, numbers = snapshot.tensors, snapshot.numbers
        net = GenerativeConvNet(architecture)
        try:
            net.load_state_dict(
                {name.removeprefix("net."): value for name, value in tensors.items() if name.startswith("net.")}
            )
        except RuntimeError as error:
            raise ValueError(f"the checkpoint does not fit the net: {error}") from error
        net.to(device)
        chains = tensors["chains"].to(device, copy=True)
        if chains.ndim != 4 or chains.shape[1] != architecture.channels:
            raise ValueError(f"chains of {tuple(chains.shape)} do not fit a net of {architecture.channels} channels")
        state = cls(
            net=net,
            chains=chains,
            optimizer=fresh_optimizer(net, [numbers[f"pace.{index}"] for index in range(len(list(net.parameters())))]),
            generator=_restored_generator(tensors["generator"], device),
            stage=int(numbers["stage"]),
            iteration=int(numbers["iteration"]),
            learning_rate_scale=float(numbers["learning_rate_scale"]),
            recoveries=int(numbers["recoveries"]),
            wide_for=int(numbers["wide_for"]),
        )
        state._load_moments({name: value for name, value in tensors.items() if name.startswith("adam.")})
        state.good.append(snapshot)
        return state

    def _load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Adam's running means, all of them or, before the first update, none. ValueError where they do not fit."""
        if not moments:
            return
        loaded = self.optimizer.state_dict()
        for index, parameter in enumerate(self.net.parameters()):
            loaded["state"][index] = {}
            for moment, shape in (("step", ()), ("exp_avg", parameter.shape), ("exp_avg_sq", parameter.shape)):
                value = moments.get(f"adam.{index}.{moment}")
                if value is None or value.shape != shape:
                    raise ValueError(f"the optimiser's {moment} of parameter {index} is missing or of another shape")
                loaded["state"][index][moment] = value.clone()
        if len(moments) != 3 * len(loaded["state"]):
            raise ValueError(f"the optimiser knows {len(moments)} tensors, the net needs {3 * len(loaded['state'])}")
        self.optimizer.load_state_dict(loaded)


def _restored_generator(saved: Tensor, device: torch.device) -> torch.Generator:
    """The generator as it was saved; where that was on another kind of device, a new one that follows from it."""
    generator = torch.Generator(device)
    if saved.dtype == torch.uint8 and saved.shape == generator.get_state().shape:
        generator.set_state(saved.clone())
        return generator
    digest = hashlib.sha256(saved.cpu().contiguous().numpy().tobytes()).digest()
    return generator.manual_seed(int.from_bytes(digest[:7], "little"))


def fresh_optimizer(net: GenerativeConvNet, paces: Sequence[float]) -> torch.optim.Adam:
    """Adam whose learning rate is set at each update, for each parameter times its `pace` (`core.recipe.scaling`)."""
    groups = [{"params": [one], "pace": pace} for one, pace in zip(net.parameters(), paces, strict=True)]
    return torch.optim.Adam(groups, lr=0.0, betas=ADAM_BETAS)
