import pytest
import torch
from nets import random_net, seeded

from core.theory.decoding import basis, decode, reconstruct
from core.theory.langevin import langevin_step
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet
from core.theory.prototype import Prototype, prototype_architecture

EXACT = {"rtol": 1e-9, "atol": 1e-9}
SHAPES = [(5, 7, 1, 1.0), (3, 4, 3, 2.5), (1, 6, 2, 0.7), (10, 12, 1, 1.0)]  # patch size, filters, channels, σ

every_shape = pytest.mark.parametrize(("size", "filters", "channels", "reference_std"), SHAPES)


def general_net(size, filters, channels, reference_std):
    return random_net(prototype_architecture(size, filters, channels, reference_std), seed=size)


def random_patches(size, channels, count=20, scale=2.0):
    return scale * torch.randn(count, channels, size, size, generator=seeded(5), dtype=torch.float64)


@every_shape
def test_def4_the_prototype_is_the_general_net_of_one_layer_as_large_as_the_patch(
    size, filters, channels, reference_std
):
    net = general_net(size, filters, channels, reference_std)
    assert net.architecture == Architecture((ConvLayer(filters, size),), channels, reference_std)
    prototype = Prototype.of(net)
    assert prototype.dictionary.shape == (filters, channels, size, size)
    patches = random_patches(size, channels)
    decoding = decode(net, patches)
    assert decoding.activations[0].shape == (20, filters, 1, 1)
    assert torch.equal(prototype.activations(patches), decoding.activations[0].flatten(1))
    torch.testing.assert_close(prototype.score(patches), net.score(patches), **EXACT)


@every_shape
def test_eq7_the_exponent_is_the_sum_of_rectified_inner_products(size, filters, channels, reference_std):
    net = general_net(size, filters, channels, reference_std)
    prototype, patches = Prototype.of(net), random_patches(size, channels)
    weights, biases = net.weights[0].tolist(), net.biases[0].tolist()

    def looped(patch):
        total = 0.0
        for w, b in zip(weights, biases, strict=True):
            inner = sum(
                w[c][x1][x2] * patch[c][x1][x2] for c in range(channels) for x1 in range(size) for x2 in range(size)
            )
            total += max(inner + b, 0.0)
        return total

    expected = torch.tensor([looped(patch) for patch in patches.tolist()], dtype=torch.float64)
    torch.testing.assert_close(prototype.score(patches), expected, **EXACT)


@every_shape
def test_eq9_a_pieces_mean_is_the_sum_of_its_active_basis_functions(size, filters, channels, reference_std):
    net = general_net(size, filters, channels, reference_std)
    prototype, patches = Prototype.of(net), random_patches(size, channels)
    activations = prototype.activations(patches)
    for patch, active, mean in zip(patches, activations, prototype.mean(activations), strict=True):
        chosen = [w for w, on in zip(prototype.dictionary, active.tolist(), strict=True) if on]
        torch.testing.assert_close(mean, reference_std**2 * sum(chosen, torch.zeros_like(patch)), **EXACT)
    torch.testing.assert_close(prototype.reconstruct(patches), reconstruct(net, patches), **EXACT)
    torch.testing.assert_close(prototype.reconstruct(patches), reference_std**2 * basis(net, patches), **EXACT)


@every_shape
def test_eq9_on_a_piece_the_energy_is_that_of_the_gaussian_about_its_mean(size, filters, channels, reference_std):
    """‖I‖²/2σ² - Σ h = ‖I - σ² Σ δ_k w_k‖² / 2σ² + a constant, the same for all patches of one pattern."""
    net = general_net(size, filters, channels, reference_std)
    prototype = Prototype.of(net)
    start = random_patches(size, channels, count=1)
    nearby = start + 1e-4 * random_patches(size, channels)
    assert (prototype.activations(nearby) == prototype.activations(start)).all()
    mean = prototype.reconstruct(start)
    rest = net.energy(nearby) - (nearby - mean).square().sum(dim=(1, 2, 3)) / (2 * reference_std**2)
    torch.testing.assert_close(rest, rest[:1].expand(20), **EXACT)


def test_eq9_k_hyperplanes_divide_the_patches_into_at_most_two_to_the_k_pieces():
    prototype = Prototype.of(general_net(5, 3, 1, 1.0))
    patterns = prototype.activations(random_patches(5, 1, count=2000)).unique(dim=0)
    assert 4 < len(patterns) <= 2**3


@every_shape
def test_eq10_the_step_is_the_general_nets_langevin_step(size, filters, channels, reference_std):
    net = general_net(size, filters, channels, reference_std)
    prototype, patches = Prototype.of(net), random_patches(size, channels)
    noise = torch.randn(patches.shape, generator=seeded(9), dtype=torch.float64)
    for step_size in (0.1, 0.9):
        torch.testing.assert_close(
            prototype.step(patches, step_size, noise), langevin_step(net, patches, step_size, noise=noise), **EXACT
        )


def test_eq10_where_sigma_is_one_the_drift_is_half_epsilon_squared_times_the_reconstruction_error():
    prototype, patches = Prototype.of(general_net(5, 7, 1, 1.0)), random_patches(5, 1)
    moved = prototype.step(patches, 0.4, torch.zeros_like(patches)) - patches
    torch.testing.assert_close(moved, -(0.4**2) / 2 * (patches - prototype.reconstruct(patches)), **EXACT)


@pytest.mark.parametrize(
    "shape",
    [
        Architecture((ConvLayer(3, 3), ConvLayer(2, 1)), channels=1),
        Architecture((ConvLayer(3, 3),), channels=1, top="category"),
        Architecture((ConvLayer(3, 3),), channels=1, top="object", top_size=(1, 1)),
    ],
)
def test_a_net_that_is_not_a_prototype_is_refused(shape):
    with pytest.raises(ValueError, match="one layer"):
        Prototype.of(GenerativeConvNet(shape))
