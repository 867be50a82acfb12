"""The auto-encoder inside the net: bottom-up activations, top-down basis, local modes (eq. 13-18, 20, 23).

On the piece of picture space that shares one activation pattern δ the score is linear, f(I; w) = α + ⟨I, B⟩, so the
density there is the Gaussian N(σ² B, σ²) (Theorem 1). B is found by deconvolution, without autograd.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from core.schemas.geometry import Boundary
from core.theory.model import GenerativeConvNet, squared_norm


@dataclass(frozen=True)
class Decoding:
    """The linear piece that a picture lies in.

    activations: δ^(l), one bool map (N, filters, H_l, W_l) a layer (eq. 13).
    basis: B (N, C, H, W), the mean of the piece divided by σ², in 1 / grey levels (eq. 16).
    offset: α (N,) (eq. 17).
    """

    activations: tuple[Tensor, ...]
    basis: Tensor
    offset: Tensor


@dataclass(frozen=True)
class Modes:
    """The result of the noiseless dynamics. images (N, C, H, W); converged and residual (N,); steps: number taken.

    residual is ‖I - σ² B‖ / ‖I‖, or ‖σ² B‖ if I = 0. It is zero if the picture is its own reconstruction.
    """

    images: Tensor
    converged: Tensor
    residual: Tensor
    steps: int


@torch.no_grad()
def encode(net: GenerativeConvNet, images: Tensor, boundary: Boundary = "valid") -> tuple[Tensor, ...]:
    """Run the bottom-up pass: δ_k,x^(l) = 1(⟨w_k,x, F^(l-1) * I⟩ + b > 0) (eq. 13, 14). -> a bool map a layer."""
    return tuple(feature_map > 0 for feature_map in net.feature_maps(images, boundary))


@torch.no_grad()
def decode(net: GenerativeConvNet, images: Tensor, boundary: Boundary = "valid") -> Decoding:
    """Return the linear piece f(I; w) = α + ⟨I, B⟩ of each picture: bottom-up, then top-down (eq. 13-17).

    B^(l-1) = Σ_k,x B_k^(l)(x) δ_k,x^(l) w_k,x and α_(l-1) = α_l + Σ_k,x B_k^(l)(x) δ_k,x^(l) b_l,k, from B^(L) = 1 (for
    a category w_c,k) and α_L = 0. images (N, C, H, W).
    """
    return top_down(net, encode(net, images, boundary), net.extend(images, boundary), boundary)


def top_down(net: GenerativeConvNet, activations: tuple[Tensor, ...], extended: Tensor, boundary: Boundary) -> Decoding:
    """Return B_w,δ and α_w,δ of a given activation pattern δ, differentiable in the weights w (eq. 16, 17).

    extended: the pictures as the first layer's filters see them; only their size and dtype are used.
    """
    coefficients = top_coefficients(net, activations[-1], extended.dtype)
    offset = extended.new_zeros(len(extended))
    below = [activation.shape[-2:] for activation in (extended, *activations[:-1])]
    for index in reversed(range(len(activations))):
        coefficients = coefficients * activations[index]
        offset = offset + coefficients.sum(dim=(2, 3)) @ net.biases[index]
        coefficients = deconvolve(coefficients, net.weights[index], net.strides[index], below[index])
    return Decoding(activations, net.fold_back(coefficients, boundary), offset)


@torch.no_grad()
def basis(net: GenerativeConvNet, images: Tensor, boundary: Boundary = "valid") -> Tensor:
    """Return B (eq. 16), which a Langevin step needs, without the pattern and the offset of `decode`.

    images (N, C, H, W) -> (N, C, H, W).
    """
    maps = [net.extend(images, boundary), *net.feature_maps(images, boundary)]
    coefficients = top_coefficients(net, maps[-1] > 0, images.dtype)
    for index in reversed(range(len(net.weights))):
        coefficients = deconvolve(coefficients, net.weights[index], net.strides[index], maps[index].shape[-2:])
        if index:
            coefficients = torch.ops.aten.threshold_backward(coefficients, maps[index], 0)
    return net.fold_back(coefficients, boundary)


def reconstruct(net: GenerativeConvNet, images: Tensor, boundary: Boundary = "valid") -> Tensor:
    """Return σ² B, the mean of the Gaussian piece of each picture (Theorem 1, eq. 20). (N, C, H, W), grey levels."""
    return net.architecture.reference_std**2 * basis(net, images, boundary)


def reconstruction_loss(net: GenerativeConvNet, images: Tensor, boundary: Boundary = "valid") -> Tensor:
    """Return ½ ‖I - σ² B_w,δ‖² as a function of w, with δ = δ(I; w) fixed (eq. 23, 24). (N, C, H, W) -> (N,).

    In grey levels². Its gradient is -σ² ⟨I - σ² B, ∂B/∂w⟩ (eq. 23, for σ = 1). One-step contrastive divergence
    descends it: on one piece E_Z[∂f(I_obs)/∂w - ∂f(I_syn)/∂w] = -ε²/2σ⁴ times it (Prop. 3).
    """
    decoding = top_down(net, encode(net, images, boundary), net.extend(images, boundary), boundary)
    difference = images - net.architecture.reference_std**2 * decoding.basis
    return squared_norm(difference) / 2


@torch.no_grad()
def find_mode(
    net: GenerativeConvNet,
    images: Tensor,
    *,
    max_steps: int = 1000,
    tolerance: float = 1e-6,
    boundary: Boundary = "valid",
    after_step: Callable[[int], None] | None = None,
    observe: Callable[[Tensor], None] | None = None,
) -> Modes:
    """Run the noiseless dynamics I <- I - s (I - σ² B), s in (0, 1], to a local energy minimum (Prop. 2).

    At a minimum inside a piece, I = σ² B. With s = 1 the step jumps to the mean of the present piece; if that would
    raise the energy, s is halved for that picture until the energy falls. `converged` is false for a picture that did
    not reach `tolerance` (relative) within `max_steps`, for example because it is on the border between two pieces.
    `after_step(number of steps)` is called after each step, `observe(images)` with the pictures at the start and after
    each step; an exception that one of them raises ends the run.
    """
    images = images.clone()
    if observe is not None:
        observe(images)
    energy = net.energy(images, boundary)
    step = images.new_ones(len(images), 1, 1, 1)
    taken = 0
    while True:
        difference = images - reconstruct(net, images, boundary)
        residual = _relative(difference, images)
        moving = (residual > tolerance) & (step.flatten() > torch.finfo(images.dtype).eps)
        if taken == max_steps or not moving.any():
            return Modes(images, residual <= tolerance, residual, taken)
        proposal = images - step * difference
        lower = net.energy(proposal, boundary)
        # Take a step only if the energy falls, or if rounding may hide the fall and the step ends at its own mean.
        arrived = _relative(proposal - reconstruct(net, proposal, boundary), proposal) <= tolerance
        better = moving & ((lower < energy) | (arrived & (lower <= energy + _rounding(net, images, energy))))
        images = torch.where(better[:, None, None, None], proposal, images)
        energy = torch.where(better, lower, energy)
        step = torch.where(
            better[:, None, None, None],
            torch.clamp(step * 2, max=1),
            torch.where(moving[:, None, None, None], step / 2, step),
        )
        taken += 1
        if observe is not None:
            observe(images)
        if after_step is not None:
            after_step(taken)


def deconvolve(coefficients: Tensor, weight: Tensor, stride: int, size: torch.Size | tuple[int, int]) -> Tensor:
    """Return Σ_k,x c_k(x) w_k,x, the transpose of one layer's convolution, as a map of `size` (eq. 16).

    If the stride s divides the kernel size k, a filter of k x k pixels is a filter of k/s x k/s blocks with stride 1 on
    the map whose blocks of s x s pixels are laid out as channels: the same sums, several times faster on a processor.
    """
    kernel = weight.shape[-2:]  # an object's filter may not be square, and has stride 1
    height, width = ((side - 1) * stride + across for side, across in zip(coefficients.shape[-2:], kernel, strict=True))
    uncovered = (size[0] - height, size[1] - width)  # pixels at the rim that no filter covers, fewer than the stride
    if stride == 1 or kernel[0] % stride:
        return functional.conv_transpose2d(coefficients, weight, stride=stride, output_padding=uncovered)
    blocks = functional.conv_transpose2d(coefficients, functional.pixel_unshuffle(weight, stride))
    return functional.pad(functional.pixel_shuffle(blocks, stride), (0, uncovered[1], 0, uncovered[0]))


def top_coefficients(net: GenerativeConvNet, active: Tensor, dtype: torch.dtype) -> Tensor:
    """Return B^(L) ∘ δ^(L): 1, or w_c,k for a category, at the `active` units (N, filters, H_L, W_L)."""
    ones = active.to(dtype)
    return ones if net.category_weights is None else ones * net.category_weights[:, None, None]


def _rounding(net: GenerativeConvNet, images: Tensor, energy: Tensor) -> Tensor:
    """Return the rounding error of an energy (N,): some units in the last place of its two terms."""
    prior = squared_norm(images) / (2 * net.architecture.reference_std**2)
    return 16 * torch.finfo(images.dtype).eps * (prior + (prior - energy).abs())


def _relative(difference: Tensor, images: Tensor) -> Tensor:
    """Return ‖difference‖ / ‖I‖, or ‖difference‖ if I = 0. (N, C, H, W) -> (N,)."""
    size = images.flatten(1).norm(dim=1)
    distance = difference.flatten(1).norm(dim=1)
    return torch.where(size > 0, distance / size.clamp_min(torch.finfo(size.dtype).tiny), distance)
