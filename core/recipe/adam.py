"""Adam, with a learning rate for each parameter of a net."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

from core.theory.model import GenerativeConvNet

BETAS = (0.5, 0.99)
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # torch's names of what Adam keeps for a parameter


class Adam:
    """Moves each parameter at the rate `rate` times its scale.

    The arithmetic is torch's. Its class `torch.optim.Adam` does the same, but imports torch's compiler, for which the
    first job of a process would wait a second or two.

    moments: by the index of the parameter, from the first step on, MOMENTS: a number, and two tensors of its shape.
    """

    def __init__(self, net: GenerativeConvNet, scales: Sequence[float]) -> None:
        """scales: one for each parameter."""
        self.rate, self.scales = 0.0, tuple(scales)
        self.moments: dict[int, dict[str, Tensor]] = {}
        self._parameters = list(net.parameters())
        self._by_moments = dict(enumerate(self._parameters))  # those that are moved by moments: here all

    def set_rate(self, rate: float) -> None:
        """Have the following steps move at this rate."""
        self.rate = rate

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters along their `.grad`, which all of them must have."""
        for index in range(len(self._parameters)):
            self._move(index)

    def _move_of(self, index: int) -> tuple[Tensor, Tensor, float]:
        """Return a parameter, its gradient, and the rate at which it moves."""
        parameter = self._parameters[index]
        assert parameter.grad is not None
        return parameter, parameter.grad, self.rate * self.scales[index]

    def _move(self, index: int) -> None:
        """Move one parameter."""
        parameter, gradient, rate = self._move_of(index)
        if index not in self.moments:
            zero = torch.zeros_like(parameter)
            self.moments[index] = {"step": torch.tensor(0.0), "exp_avg": zero, "exp_avg_sq": zero.clone()}
        moments = self.moments[index]
        adam(
            [parameter],
            [gradient],
            [moments["exp_avg"]],
            [moments["exp_avg_sq"]],
            [],
            [moments["step"]],
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Copy moments, saved as `INDEX.NAME`; none are those before the first step. Raises ValueError if unfit."""
        self.moments = {}
        if not saved:
            return
        for index, parameter in self._by_moments.items():
            found: dict[str, Tensor] = {}
            for name in MOMENTS:
                value = saved.get(f"{index}.{name}")
                if value is None or value.shape != (() if name == "step" else parameter.shape):
                    raise ValueError(f"the optimizer's {name} of parameter {index} is missing or of another shape")
                found[name] = value.clone() if name == "step" else value.to(parameter, copy=True)
            self.moments[index] = found
        if len(saved) != len(MOMENTS) * len(self.moments):
            raise ValueError(
                f"the optimizer has {len(saved)} tensors, the net needs {len(MOMENTS) * len(self.moments)}"
            )
