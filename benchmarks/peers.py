"""Other implementations of Langevin dynamics, for the same net: plain PyTorch modules and autograd."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.theory.model import GenerativeConvNet

Sampler = Callable[[Tensor, int], Tensor]  # chains (N, C, H, W) and a number of steps -> the chains after them


class PlainNet(nn.Module):
    """The energy ‖I‖² / 2σ² - f(I; w) of a net of Def. 3 in plain PyTorch: (N, C, H, W) -> (N,)."""

    def __init__(self, net: GenerativeConvNet) -> None:
        super().__init__()
        self.variance = net.architecture.reference_std**2
        layers: list[nn.Module] = []
        for weight, bias, stride in zip(net.weights, net.biases, net.strides, strict=True):
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), stride)
            layer.weight, layer.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
            layers += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return images.square().sum(dim=(1, 2, 3)) / (2 * self.variance) - self.layers(images).sum(dim=(1, 2, 3))


def autograd_loop(net: GenerativeConvNet, step_size: float) -> Sampler:
    """Return the usual loop of published code, after Nijkamp et al. 2019 (github.com/point0bar1/ebm-anatomy)."""
    energy = PlainNet(net).to(net.weights[0].device)

    def run(images: Tensor, steps: int) -> Tensor:
        chains = images.clone().requires_grad_(True)
        for _ in range(steps):
            gradient = torch.autograd.grad(energy(chains).sum(), [chains])[0]
            chains.data += -(step_size**2) / 2 * gradient + step_size * torch.randn_like(chains)
        return chains.detach()

    return run


def torchebm_sampler(net: GenerativeConvNet, step_size: float) -> Sampler | None:
    """Return torchebm's Langevin sampler, or None if torchebm is not installed."""
    try:
        from torchebm.core import BaseModel
        from torchebm.samplers import LangevinDynamics
    except ImportError:
        return None
    device = net.weights[0].device

    class Energy(BaseModel):
        def __init__(self) -> None:
            super().__init__(device=device)
            self.plain = PlainNet(net)

        def forward(self, x: Tensor) -> Tensor:
            return self.plain(x)

    sampler = LangevinDynamics(Energy().to(device), step_size=step_size**2 / 2, noise_scale=1.0, device=device)

    def run(images: Tensor, steps: int) -> Tensor:
        return sampler.sample(x=images.clone(), n_steps=steps)

    return run
