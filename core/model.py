"""The generative ConvNet p(I; w) ∝ exp f(I; w) · q(I): its scoring function and its energy (eq. 1-8).

Pictures are tensors (N, C, H, W) in grey levels (0 to 255) with the channel means subtracted; q is Gaussian white
noise of standard deviation σ = `reference_std`, in grey levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.boundary import wrap
from core.contracts.learning import Boundary

INITIAL_WEIGHT_STD = 0.01  # with w = 0 exactly, 1(0 > 0) = 0 and no filter could ever learn


@dataclass(frozen=True)
class ConvLayer:
    """One layer of linear filters and ReLU (eq. 1): kernel_size x kernel_size positions, applied every `stride`."""

    filters: int
    kernel_size: int
    stride: int = 1

    def __post_init__(self) -> None:
        for name in ("filters", "kernel_size", "stride"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, not {value!r}")


@dataclass(frozen=True)
class Architecture:
    """The shape of a net. `top="convolutional"` sums the top maps over filters and positions (Def. 3, eq. 6)."""

    layers: tuple[ConvLayer, ...]
    channels: int = 3
    reference_std: float = 1.0
    top: str = "convolutional"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError("layers must hold at least one layer")
        if self.channels < 1:
            raise ValueError(f"channels must be positive, not {self.channels}")
        if not self.reference_std > 0:
            raise ValueError(f"reference_std must be positive, not {self.reference_std}")
        if self.top != "convolutional":
            raise ValueError(f"top must be 'convolutional', not {self.top!r}")

    @property
    def total_stride(self) -> int:
        """Pixels between neighbouring positions of the top map."""
        stride = 1
        for layer in self.layers:
            stride *= layer.stride
        return stride

    @property
    def receptive_field(self) -> int:
        """Side, in pixels, of the window that one position of the top map sees."""
        side, stride = 1, 1
        for layer in self.layers:
            side += (layer.kernel_size - 1) * stride
            stride *= layer.stride
        return side

    @property
    def halo(self) -> int:
        """Pixels by which a periodic picture is continued so that its top map has size / total_stride positions."""
        return max(self.receptive_field - self.total_stride, 0)

    def map_sizes(self, size: int) -> tuple[int, ...]:
        """Side of each layer's map for a picture of `size` pixels on the plane. ValueError for a filter too large."""
        sizes = []
        for index, layer in enumerate(self.layers):
            if layer.kernel_size > size:
                raise ValueError(
                    f"layers[{index}].kernel_size is {layer.kernel_size}, larger than the {size} x {size} map "
                    "that it is applied to"
                )
            size = (size - layer.kernel_size) // layer.stride + 1
            sizes.append(size)
        return tuple(sizes)

    def operations(self, size: int) -> int:
        """Multiplications of one bottom-up pass over a periodic picture of `size` pixels: what its time goes by."""
        below, stride, count = self.channels, 1, 0
        for layer in self.layers:
            stride *= layer.stride
            count += layer.filters * below * layer.kernel_size**2 * (size // stride) ** 2
            below = layer.filters
        return count

    def truncated(self, depth: int) -> "Architecture":
        """The net of the lowest `depth` layers, as it stands while the layers are grown one by one (sec. 7)."""
        return Architecture(self.layers[:depth], self.channels, self.reference_std, self.top)


class GenerativeConvNet(nn.Module):
    """The scoring ConvNet f(I; w), weights N(0, 0.01²), biases zero, in float32.

    `weights[l]` is (filters, filters below, kernel, kernel), `biases[l]` is (filters,).
    """

    def __init__(self, architecture: Architecture, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        generator = generator or torch.Generator()  # never the global one, which is not ours to draw from
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        below = architecture.channels
        for layer in architecture.layers:
            weight = torch.empty(layer.filters, below, layer.kernel_size, layer.kernel_size)
            self.weights.append(nn.Parameter(weight.normal_(0, INITIAL_WEIGHT_STD, generator=generator)))
            self.biases.append(nn.Parameter(torch.zeros(layer.filters)))
            below = layer.filters

    def feature_maps(self, images: Tensor, boundary: Boundary = "valid") -> list[Tensor]:
        """[F^(l) * I] for l = 1..L (eq. 1): a list of (N, filters, H_l, W_l)."""
        maps, current = [], self.extend(images, boundary)
        for layer, weight, bias in zip(self.architecture.layers, self.weights, self.biases, strict=True):
            current = functional.relu(functional.conv2d(current, weight, bias, stride=layer.stride))
            maps.append(current)
        return maps

    def score(self, images: Tensor, boundary: Boundary = "valid") -> Tensor:
        """f(I; w) = Σ_k Σ_x [F_k^(L) * I](x) (eq. 6). images (N, C, H, W) -> (N,)."""
        return self.feature_maps(images, boundary)[-1].sum(dim=(1, 2, 3))

    def energy(self, images: Tensor, boundary: Boundary = "valid") -> Tensor:
        """‖I‖² / 2σ² - f(I; w), the negative log density but for log Z (eq. 5, 8, 18). (N, C, H, W) -> (N,)."""
        prior = images.square().sum(dim=(1, 2, 3)) / (2 * self.architecture.reference_std**2)
        return prior - self.score(images, boundary)

    def extend(self, images: Tensor, boundary: Boundary) -> Tensor:
        """The picture that the first layer's filters see: itself on the plane, continued periodically on the torus.

        Raises ValueError where the picture does not suit the net.
        """
        shape, architecture = tuple(images.shape), self.architecture
        if len(shape) != 4 or shape[1] != architecture.channels:
            raise ValueError(f"pictures must be (N, {architecture.channels}, H, W), not {shape}")
        if boundary == "torus":
            if shape[2] % architecture.total_stride or shape[3] % architecture.total_stride:
                raise ValueError(
                    f"on the torus a picture's sides must be multiples of the net's stride of "
                    f"{architecture.total_stride}, not {shape[2:]}"
                )
            return wrap(images, architecture.halo)
        if min(shape[2:]) < architecture.receptive_field:
            raise ValueError(
                f"a picture of {shape[2:]} is smaller than the net's window of {architecture.receptive_field} pixels"
            )
        return images


def add_layer(net: GenerativeConvNet, layer: ConvLayer, generator: torch.Generator) -> GenerativeConvNet:
    """The net with one more layer on top, its lower layers as they were (sec. 7: the layers are grown one by one).

    The new layer begins as a pass-through: at the middle of its kernel each filter below is spread over the new
    filters with random shares that sum to one, so that the new score is the old one (but for the rim), and the
    chains keep what they have learned. A little noise, N(0, 0.01²) relative to the shares, breaks the symmetry.
    """
    architecture = net.architecture
    grown = GenerativeConvNet(replace(architecture, layers=(*architecture.layers, layer)))
    device = net.weights[0].device
    with torch.no_grad():
        for index, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
            grown.weights[index].copy_(weight)
            grown.biases[index].copy_(bias)
        below = architecture.layers[-1].filters
        shares = torch.rand(layer.filters, below, generator=generator, device=generator.device).cpu()
        top = (
            torch.randn(grown.weights[-1].shape, generator=generator, device=generator.device).cpu()
            * INITIAL_WEIGHT_STD
        )
        middle = (layer.kernel_size - 1) // 2
        top[:, :, middle, middle] += shares / shares.sum(dim=0)
        grown.weights[-1].copy_(top)
    return grown.to(device)


def positions(maps: Sequence[Tensor]) -> int:
    """How many positions the top map has: |D_L|, by which a score is divided to compare pictures of different size."""
    return maps[-1].shape[-2] * maps[-1].shape[-1]
