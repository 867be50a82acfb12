"""The generative ConvNet p(I; w) ∝ exp f(I; w) · q(I): its scoring function and its energy (eq. 1-8).

Pictures are tensors (N, C, H, W) in grey levels (0 to 255) with the channel means subtracted; q is Gaussian white
noise of standard deviation σ = `reference_std`, in grey levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.schemas import geometry
from core.schemas.geometry import Boundary
from core.schemas.net import Top
from core.theory.boundary import crop, surround, unwrap, wrap

INITIAL_WEIGHT_STD = 0.01  # with w = 0 exactly, 1(0 > 0) = 0 and no filter could ever learn
INITIAL_TOP_WEIGHT_STD = 0.001  # smaller for an object's filter, because it sums over thousands of positions


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
    """The shape of a net. `top` says how the top maps become the score.

    convolutional: their sum over filters and positions (Def. 3, eq. 6).
    object: one more filter that covers them completely, and its ReLU (Experiment 2); `top_size` is the (height, width)
        of the maps it covers, None until the size of the pictures is known.
    category: their sum, each filter weighted by w_c,k (Def. 2, eq. 2).
    """

    layers: tuple[ConvLayer, ...]
    channels: int = 3
    reference_std: float = 1.0
    top: Top = "convolutional"
    top_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError("layers must hold at least one layer")
        if self.channels < 1:
            raise ValueError(f"channels must be positive, not {self.channels}")
        if not self.reference_std > 0:
            raise ValueError(f"reference_std must be positive, not {self.reference_std}")
        if self.top not in get_args(Top):
            raise ValueError(f"top must be one of {', '.join(get_args(Top))}, not {self.top!r}")
        if self.top_size is not None and (self.top != "object" or min(self.top_size) < 1):
            raise ValueError(f"top_size {self.top_size} suits no top of kind {self.top!r}")

    @property
    def total_stride(self) -> int:
        """Pixels between neighbouring positions of the top map."""
        return geometry.total_stride(self.layers)

    @property
    def receptive_field(self) -> int:
        """Side, in pixels, of the window that one position of the top map sees."""
        return geometry.receptive_field(self.layers)

    @property
    def halo(self) -> int:
        """Pixels by which a periodic picture is continued so that its top map has size / total_stride positions."""
        return geometry.halo(self.layers)

    def map_sizes(self, size: int) -> tuple[int, ...]:
        """Side of each layer's map for a picture of `size` pixels on the plane. ValueError for a filter too large."""
        return geometry.map_sizes(self.layers, size)

    @property
    def map_values_per_pixel(self) -> float:
        """Values in the maps of all layers together, per pixel of a large picture. Memory is proportional to it."""
        stride, count = 1, 0.0
        for layer in self.layers:
            stride *= layer.stride
            count += layer.filters / stride**2
        return count

    def operations(self, size: int) -> int:
        """Return the multiplications of one bottom-up pass over a periodic picture of `size` x `size` pixels."""
        below, stride, count = self.channels, 1, 0
        for layer in self.layers:
            stride *= layer.stride
            count += layer.filters * below * layer.kernel_size**2 * (size // stride) ** 2
            below = layer.filters
        return count

    def with_top_size(self, size: int, boundary: Boundary) -> "Architecture":
        """Return this architecture for pictures of `size` pixels, with `top_size` set for an object's filter."""
        if self.top != "object":
            return self
        side = self.top_side(size, boundary)
        return replace(self, top_size=(side, side))

    def top_side(self, size: int, boundary: Boundary) -> int:
        """Positions along one side of the highest map of pictures with `size` pixels along it."""
        return geometry.top_side(self.layers, size, boundary)

    def truncated(self, depth: int) -> "Architecture":
        """Return the architecture of the lowest `depth` layers, for growing layers one by one (sec. 7)."""
        return replace(self, layers=self.layers[:depth], top_size=None)


class GenerativeConvNet(nn.Module):
    """The scoring ConvNet f(I; w), weights N(0, 0.01²), biases zero, in float32.

    `weights[l]` is (filters, filters below, kernel, kernel), `biases[l]` is (filters,). An object's top filter is one
    more layer, (1, filters below, H_L, W_L). `category_weights` (filters of the top layer,) are w_c,k, or None.
    """

    category_weights: nn.Parameter | None

    def __init__(self, architecture: Architecture, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        generator = generator or torch.Generator()  # the global generator is left alone
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        below = architecture.channels
        for layer in architecture.layers:
            weight = torch.empty(layer.filters, below, layer.kernel_size, layer.kernel_size)
            self.weights.append(nn.Parameter(weight.normal_(0, INITIAL_WEIGHT_STD, generator=generator)))
            self.biases.append(nn.Parameter(torch.zeros(layer.filters)))
            below = layer.filters
        category = architecture.top == "category"
        self.register_parameter("category_weights", nn.Parameter(torch.ones(below)) if category else None)
        if architecture.top_size is not None:
            self._add_top_filter(architecture.top_size, generator)

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each of `weights`."""
        return tuple(layer.stride for layer in self.architecture.layers) + (1,) * self.has_top_filter

    @property
    def has_top_filter(self) -> bool:
        """True if the last of `weights` is an object's top filter."""
        return len(self.weights) > len(self.architecture.layers)

    def feature_maps(self, images: Tensor, boundary: Boundary = "valid") -> list[Tensor]:
        """Return [F^(l) * I], l = 1.. (eq. 1): a list of (N, filters, H_l, W_l); an object's ends with (N, 1, 1, 1)."""
        maps: list[Tensor] = []
        current = self.extend(images, boundary)
        for weight, bias, stride in zip(self.weights, self.biases, self.strides, strict=True):
            current = functional.relu(convolve(current, weight, bias, stride))
            maps.append(current)
        return maps

    def score(self, images: Tensor, boundary: Boundary = "valid") -> Tensor:
        """Return f(I; w) = Σ_k Σ_x [F_k^(L) * I](x) (eq. 6), weighted by w_c,k for a category (eq. 2). -> (N,)."""
        return self.scores_of(self.feature_maps(images, boundary)[-1])

    def scores_of(self, top_maps: Tensor) -> Tensor:
        """Return f from the last of `feature_maps`. (N, filters, H_L, W_L) -> (N,)."""
        sums = top_maps.sum(dim=(2, 3))
        return sums.sum(dim=1) if self.category_weights is None else sums @ self.category_weights

    def energy(self, images: Tensor, boundary: Boundary = "valid") -> Tensor:
        """Return ‖I‖² / 2σ² - f(I; w), the negative log density up to a constant (eq. 5, 8, 18). -> (N,)."""
        prior = squared_norm(images) / (2 * self.architecture.reference_std**2)
        return prior - self.score(images, boundary)

    def extend(self, images: Tensor, boundary: Boundary) -> Tensor:
        """Return the pictures as the first layer's filters see them: unchanged, periodic, or surrounded by zeros.

        Raises ValueError as `check` does.
        """
        self.check(images, boundary)
        halo = self.architecture.halo
        if boundary == "torus":
            return wrap(images, halo)
        return surround(images, halo) if boundary == "padded" else images

    def check(self, images: Tensor, boundary: Boundary) -> None:
        """Raise ValueError if the net cannot take pictures of this shape (N, C, H, W).

        If an object's top filter does not exist yet, it is created for the maps of these pictures.
        """
        shape, architecture = tuple(images.shape), self.architecture
        if len(shape) != 4 or shape[1] != architecture.channels:
            raise ValueError(f"pictures must be (N, {architecture.channels}, H, W), not {shape}")
        added = geometry.added_pixels(architecture.layers, boundary)
        if boundary == "torus":
            if shape[2] % architecture.total_stride or shape[3] % architecture.total_stride:
                raise ValueError(
                    f"on the torus a picture's sides must be multiples of the net's stride of "
                    f"{architecture.total_stride}, not {shape[2:]}"
                )
        elif min(shape[2:]) + added < architecture.receptive_field:
            raise ValueError(
                f"a picture of {shape[2:]} is smaller than the net's window of {architecture.receptive_field} pixels"
            )
        if architecture.top == "object":
            self._check_top((architecture.top_side(shape[2], boundary), architecture.top_side(shape[3], boundary)))

    def fold_back(self, extended: Tensor, boundary: Boundary) -> Tensor:
        """Map a gradient on the extended picture back to the picture; the adjoint of `extend`."""
        halo = self.architecture.halo
        if boundary == "torus":
            return unwrap(extended, halo)
        return crop(extended, halo) if boundary == "padded" else extended

    def _check_top(self, size: tuple[int, int]) -> None:
        """Raise ValueError if an object's filter does not cover maps of `size` (H_L, W_L); create a missing one."""
        if not self.has_top_filter:
            self._add_top_filter(size, torch.Generator())
            self.architecture = replace(self.architecture, top_size=size)
        if self.architecture.top_size != size:
            raise ValueError(
                f"the object's filter covers maps of {self.architecture.top_size} positions, these pictures have {size}"
            )

    def _add_top_filter(self, size: tuple[int, int], generator: torch.Generator) -> None:
        """Create an object's filter over maps of `size`, with a bias of one so that it fires at first."""
        like = self.weights[0]
        weight = torch.empty(1, self.architecture.layers[-1].filters, *size)
        weight.normal_(0, INITIAL_TOP_WEIGHT_STD, generator=generator)
        self.weights.append(nn.Parameter(weight.to(like)))
        self.biases.append(nn.Parameter(torch.ones(1).to(like)))


def convolve(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Return ⟨w_k,x, F^(l-1) * I⟩ + b_k (eq. 12).

    If the stride s divides the kernel size, blocks of s x s pixels are laid out as channels, which computes the same
    sums faster on a processor; see `core.theory.decoding.deconvolve`.
    """
    kernel_size = weight.shape[-1]
    if stride == 1 or kernel_size % stride:
        return functional.conv2d(images, weight, bias, stride=stride)
    height, width = (side - (side - kernel_size) % stride for side in images.shape[-2:])
    blocks = functional.pixel_unshuffle(images[..., :height, :width], stride)
    return functional.conv2d(blocks, functional.pixel_unshuffle(weight, stride), bias)


def add_layer(
    net: GenerativeConvNet,
    layer: ConvLayer,
    generator: torch.Generator,
    *,
    boundary: Boundary = "valid",
    top_size: tuple[int, int] | None = None,
) -> GenerativeConvNet:
    """Return the net with one more layer on top and its lower layers unchanged (sec. 7: layers are grown one by one).

    The new layer starts as a pass-through, so that the new score is close to the old one and the chains stay valid.
    Each filter below is distributed over the new filters with random shares that sum to one. An object's top filter is
    kept instead: each new filter passes on one filter below, those first to which the top filter gives most weight.
    Noise N(0, 0.01²) breaks the symmetry. `top_size` (height, width) is the size of the maps that an object's filter
    will cover, by default that on the plane after the new layer. `boundary` is that of the pictures.
    """
    architecture = net.architecture
    device = net.weights[0].device
    below = architecture.layers[-1].filters
    kept: list[int] = []
    shares = torch.zeros(layer.filters, below)
    if net.has_top_filter:
        kept = net.weights[-1].detach().square().sum(dim=(0, 2, 3)).argsort(descending=True)[: layer.filters].tolist()
        shares[range(len(kept)), kept] = 1.0
        height, width = (geometry.map_size(layer, side) for side in net.weights[-1].shape[2:])
        top_size = top_size or (height, width)
    else:
        shares = torch.rand(layer.filters, below, generator=generator, device=generator.device).cpu()
        shares /= shares.sum(dim=0)
        if net.category_weights is not None:  # the new filters' own weights start at one
            shares *= net.category_weights.detach().cpu().clamp(min=0)
    grown = GenerativeConvNet(replace(architecture, layers=(*architecture.layers, layer), top_size=top_size))
    with torch.no_grad():
        for index in range(len(architecture.layers)):
            grown.weights[index].copy_(net.weights[index])
            grown.biases[index].copy_(net.biases[index])
        new = grown.weights[len(architecture.layers)]
        noise = torch.randn(new.shape, generator=generator, device=generator.device).cpu()
        new.copy_(noise * INITIAL_WEIGHT_STD)
        middle = (layer.kernel_size - 1) // 2
        new[:, :, middle, middle] += shares
        if net.has_top_filter:
            grown.biases[-1].copy_(net.biases[-1])
            grown.weights[-1].zero_()
            grown.weights[-1][:, : len(kept)] = _resampled(net.weights[-1][:, kept], layer, grown.weights[-1], boundary)
    return grown.to(device)


def _resampled(filters: Tensor, layer: ConvLayer, onto: Tensor, boundary: Boundary) -> Tensor:
    """Resample an object's filter for the maps above a new `layer`: (1, K, H, W) -> (1, K, height and width of `onto`).

    The new layer passes on every `stride`-th position, at the centre of its kernel.
    """
    middle, stride = (layer.kernel_size - 1) // 2, layer.stride
    before = layer.kernel_size - stride if boundary == "padded" else 0  # positions by which the padding has grown
    resampled = filters
    for dim in (2, 3):
        rows_or_columns = torch.arange(onto.shape[dim], device=filters.device) * stride + middle - before
        side = filters.shape[dim]
        inside = ((rows_or_columns >= 0) & (rows_or_columns < side)) | (boundary == "torus")
        resampled = resampled.index_select(dim, rows_or_columns % side) * inside.view(-1, *(1,) * (3 - dim))
    return resampled * stride**2


def squared_norm(images: Tensor) -> Tensor:
    """Return ‖I‖². (N, C, H, W) -> (N,)."""
    return images.square().sum(dim=(1, 2, 3))


def positions(maps: Sequence[Tensor]) -> int:
    """Return |D_L|, the number of positions of the top map; scores per position compare pictures of different sizes."""
    return maps[-1].shape[-2] * maps[-1].shape[-1]
