"""Other implementations of Langevin dynamics and of learning, for the same net: plain PyTorch modules and autograd."""

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.schemas.learning import LearningParams
from core.theory.model import GenerativeConvNet

TORCHEBM, LOOP = "torchebm 0.8.9", "loop of ebm-anatomy"
Sampler = Callable[[Tensor, int], Tensor]  # chains (N, C, H, W) and a number of steps -> the chains after them


class PlainNet(nn.Module):
    """The energy ‖I‖² / 2σ² - f(I; w) of a net of Def. 3 in plain PyTorch: (N, C, H, W) -> (N,).

    periodic: pictures continue at their opposite side, so that the net sees as many places as on the torus.
    """

    def __init__(self, net: GenerativeConvNet, *, periodic: bool = False) -> None:
        super().__init__()
        self.extent = net.architecture.receptive_field - net.architecture.total_stride if periodic else 0
        self.variance = net.architecture.reference_std**2
        layers: list[nn.Module] = []
        for weight, bias, stride in zip(net.weights, net.biases, net.strides, strict=True):
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), stride)
            layer.weight, layer.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
            layers += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        seen = functional.pad(images, (0, self.extent, 0, self.extent), mode="circular") if self.extent else images
        return images.square().sum(dim=(1, 2, 3)) / (2 * self.variance) - self.layers(seen).sum(dim=(1, 2, 3))


def has_torchebm() -> bool:
    """Return True if torchebm is installed; it is in the extra `bench`."""
    return find_spec("torchebm") is not None


def autograd_loop(net: GenerativeConvNet, step_size: float, *, periodic: bool = False) -> Sampler:
    """Return the usual loop of published code, after Nijkamp et al. 2019 (github.com/point0bar1/ebm-anatomy)."""
    return _loop(PlainNet(net, periodic=periodic).to(net.weights[0].device), step_size)


def _loop(energy: PlainNet, step_size: float) -> Sampler:

    def run(images: Tensor, steps: int) -> Tensor:
        chains = images.clone().requires_grad_(True)
        for _ in range(steps):
            gradient = torch.autograd.grad(energy(chains).sum(), [chains])[0]
            chains.data += -(step_size**2) / 2 * gradient + step_size * torch.randn_like(chains)
        return chains.detach()

    return run


def torchebm_sampler(net: GenerativeConvNet, step_size: float, *, periodic: bool = False) -> Sampler | None:
    """Return torchebm's Langevin sampler, or None if torchebm is not installed."""
    if not has_torchebm():
        return None
    return _torchebm(PlainNet(net, periodic=periodic).to(net.weights[0].device), step_size)


def _torchebm(plain: PlainNet, step_size: float) -> Sampler:
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    device = next(plain.parameters()).device

    class Energy(BaseModel):
        def __init__(self) -> None:
            super().__init__(device=device)
            self.plain = plain

        def forward(self, x: Tensor) -> Tensor:
            return self.plain(x)

    sampler = LangevinDynamics(Energy().to(device), step_size=step_size**2 / 2, noise_scale=1.0, device=device)

    def run(images: Tensor, steps: int) -> Tensor:
        return sampler.sample(x=images.clone(), n_steps=steps)

    return run


class PeerLearner:
    """Algorithm 1 as published code has it: persistent chains, the gradient by autograd, plain Adam.

    images: training pictures (M, C, H, W). chains: where the chains start (M̃, C, H', W'), on the torus.
    make_sampler: one of `peer_samplers`.
    """

    def __init__(
        self,
        net: GenerativeConvNet,
        images: Tensor,
        chains: Tensor,
        params: LearningParams,
        make_sampler: Callable[[PlainNet, float], Sampler],
    ) -> None:
        self.images, self.chains, self.steps = images, chains.clone(), params.langevin_steps
        self.energy = PlainNet(net, periodic=True).to(chains.device)
        self.optimizer = torch.optim.Adam(self.energy.parameters(), lr=1e-6)  # so that it does not diverge
        self.sample = make_sampler(self.energy, params.step_size)

    def update(self) -> None:
        """Run one iteration."""
        self.chains = self.sample(self.chains, self.steps)
        self.optimizer.zero_grad()
        observed, synthesized = (self._energy(images) for images in (self.images, self.chains))
        (observed - synthesized).backward()
        self.optimizer.step()

    def _energy(self, images: Tensor) -> Tensor:
        """Return the mean energy; training pictures do not continue at their opposite side."""
        extent, self.energy.extent = self.energy.extent, self.energy.extent if images is self.chains else 0
        try:
            return self.energy(images).mean()
        finally:
            self.energy.extent = extent


def peer_samplers() -> dict[str, Callable[[PlainNet, float], Sampler]]:
    """Return how to make the sampler of each peer that is installed, by name."""
    return {TORCHEBM: _torchebm, LOOP: _loop} if has_torchebm() else {LOOP: _loop}
