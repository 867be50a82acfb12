import math

import pytest
import torch
from nets import random_net, seeded

from core.recipe.scaling import (
    BIAS_RATE,
    INITIAL_RECONSTRUCTION,
    OBJECT_COLOURING,
    SPARSENESS,
    WEIGHT_RATE,
    WHITENED_INPUTS,
    Whitening,
    initial_coordinates_of,
    learning_rate_scales,
    scale_weights,
    whitening_of,
)
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.theory.decoding import basis
from core.theory.learning import architecture_of
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet, convolve

EXACT = {"rtol": 1e-9, "atol": 1e-9}
SEED = 4
LAYERS = (ConvLayer(12, 5, 2), ConvLayer(10, 3), ConvLayer(8, 3))
SIGMA = 8.0


def examples(count=3, channels=2, size=28):
    """Soft shapes with faint detail, as photographs have: most of their strength lies in slow changes."""
    rough = torch.randn(count, channels, size, size, generator=seeded(1), dtype=torch.float64)
    soft = torch.nn.functional.avg_pool2d(rough, 7, stride=1, padding=3)
    images = 300 * soft + 5 * rough
    return images - images.mean(dim=(0, 2, 3), keepdim=True)


def measured_whitening(images, kernel_size=5, reference_std=SIGMA):
    return Whitening.of(images, kernel_size, reference_std).to(images)


def scaled(top="convolutional", boundary="valid", layers=LAYERS, images=None, whiten=True, reference_std=SIGMA):
    """A net scaled on pictures, and those pictures under the noise that it saw."""
    images = examples() if images is None else images
    architecture = Architecture(layers, images.shape[1], reference_std, top).with_top_size(images.shape[-1], boundary)
    net = GenerativeConvNet(architecture).double()
    whitening = measured_whitening(images, layers[0].kernel_size, reference_std) if whiten else Whitening()
    scale_weights(net, images, boundary, whitening.to(images), seeded(SEED))
    return net, images + reference_std * torch.randn(images.shape, generator=seeded(SEED))


def responses(net, images, boundary):
    """Of each layer's filters, biases left out, and with them."""
    below, found = net.extend(images, boundary), []
    for weight, bias, stride in zip(net.weights, net.biases, net.strides, strict=True):
        plain = convolve(below, weight, None, stride).detach()
        found.append((plain, plain + bias.detach()[:, None, None]))
        below = torch.relu(found[-1][1])
    return found


every_top = pytest.mark.parametrize(
    ("top", "boundary"),
    [("convolutional", "valid"), ("convolutional", "padded"), ("category", "valid"), ("object", "padded")],
)


@every_top
@pytest.mark.parametrize("whiten", [True, False])
def test_scaled_layers_respond_with_variance_one_and_about_a_third_of_their_units_fires(top, boundary, whiten):
    net, noisy = scaled(top, boundary, whiten=whiten)
    *lower, (highest, biased_highest) = responses(net, noisy, boundary)
    fewest = 0.1 if boundary == "padded" else 0.2  # what is laid around a picture fires nothing
    for plain, biased in lower:
        assert plain.std().item() == pytest.approx(1, rel=1e-9)
        mean = biased.mean(dim=(0, 2, 3))
        torch.testing.assert_close(mean, torch.full_like(mean, -SPARSENESS), **EXACT)
        assert fewest < (biased > 0).double().mean() < 0.45
    if top == "object":
        assert (biased_highest > 0).all()  # the object's unit, which has to learn from each
        assert biased_highest.shape == (len(noisy), 1, 1, 1)
    else:  # scaled as a whole, so that the same units fire
        ratio = -biased_highest.mean(dim=(0, 2, 3)) / highest.std()
        torch.testing.assert_close(ratio, torch.full_like(ratio, SPARSENESS), **EXACT)
        assert fewest < (biased_highest > 0).double().mean() < 0.45


@every_top
def test_scaled_weights_reconstruct_at_the_intended_strength(top, boundary):
    net, noisy = scaled(top, boundary)
    reconstruction = SIGMA**2 * basis(net, noisy, boundary)
    assert reconstruction.square().mean().sqrt().item() == pytest.approx(INITIAL_RECONSTRUCTION * SIGMA, rel=1e-9)


def test_an_objects_unit_fires_on_a_single_example_too():
    net, noisy = scaled("object", "padded", images=examples(count=1))
    assert (net.score(noisy, "padded") > 0).all()
    assert all(torch.isfinite(parameter).all() for parameter in net.parameters())


@pytest.mark.parametrize("factor", [0.125, 2.0])
@pytest.mark.parametrize("whiten", [True, False])
def test_scaled_nets_do_not_depend_on_the_contrast_of_their_examples(factor, whiten):
    """TrainingSet and σ `factor` times as strong: every layer responds as before, through filters as much weaker."""
    net, noisy = scaled(whiten=whiten)
    other, stronger = scaled(whiten=whiten, images=factor * examples(), reference_std=factor * SIGMA)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if whiten else EXACT  # whitening is float32
    torch.testing.assert_close(stronger, factor * noisy, **EXACT)
    torch.testing.assert_close(factor * other.weights[0], net.weights[0], **tolerance)
    for (here, _), (there, _) in list(
        zip(responses(net, noisy, "valid"), responses(other, stronger, "valid"), strict=True)
    )[:-1]:
        torch.testing.assert_close(there, here, **tolerance)


def test_doubling_a_strong_contrast_changes_no_response():
    sigma = 1e-4
    net, noisy = scaled(reference_std=sigma)
    other, stronger = scaled(images=2 * examples(), reference_std=sigma)
    (here, _), (there, _) = responses(net, noisy, "valid")[0], responses(other, stronger, "valid")[0]
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3)


def test_scaling_draws_from_its_generator_only():
    before = torch.get_rng_state()
    (one, _), (other, _) = scaled(), scaled()
    assert torch.equal(torch.get_rng_state(), before)
    for here, there in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(here, there)


def test_filters_and_their_whitened_coordinates_are_each_others_inverse():
    whitening = measured_whitening(examples())
    filters = torch.randn(7, 2, 5, 5, generator=seeded(SEED), dtype=torch.float64)
    torch.testing.assert_close(whitening.filters(whitening.coordinates(filters)), filters, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(whitening.coordinates(whitening.filters(filters)), filters, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(whitening.matrix, whitening.matrix.T, rtol=1e-5, atol=1e-6)
    assert torch.linalg.eigvalsh(whitening.matrix).min() > 0


def test_whitening_makes_the_components_of_patches_more_equally_strong():
    images = examples()
    noisy = images + SIGMA * torch.randn(images.shape, generator=seeded(2))
    patches = torch.nn.functional.unfold(noisy, 5).movedim(1, 2).flatten(0, 1)
    plain, whitened = (
        torch.linalg.eigvalsh(torch.cov(seen.T)) for seen in (patches, patches @ measured_whitening(images).matrix)
    )
    before, after = plain.max() / plain.min(), whitened.max() / whitened.min()
    assert before > 20
    assert after.item() == pytest.approx(before.item() ** 0.75, rel=0.1)  # C^(-1/8) C C^(-1/8): a quarter of the way


def test_filters_of_too_many_inputs_are_not_whitened():
    side = math.isqrt(WHITENED_INPUTS) + 1
    whitening = Whitening.of(torch.randn(1, 1, side + 4, side + 4, generator=seeded(SEED)), side, 1.0)
    filters = torch.randn(2, 1, side, side, generator=seeded(SEED))
    assert torch.equal(whitening.filters(filters), filters)
    assert torch.equal(whitening.coordinates(filters), filters)


def test_whitening_is_the_same_when_learning_is_resumed():
    one, other = measured_whitening(examples()), measured_whitening(examples())
    assert torch.equal(one.matrix, other.matrix)


PARAMS = LearningParams(
    image_size=28,
    layers=tuple(LayerParams(filters=one.filters, kernel_size=one.kernel_size, stride=one.stride) for one in LAYERS),
    layerwise=False,
    reference_std=SIGMA,
    num_chains=1,
    boundary="valid",
    iterations=100,
    seed=1,
)


def test_the_first_layer_is_whitened_but_for_objects_and_contrastive_divergence():
    images = examples().float()
    assert torch.equal(whitening_of(images, PARAMS).matrix, Whitening.of(images, 5, SIGMA).matrix)
    for other in ({"top": "object"}, {"contrastive": True}):
        assert whitening_of(images, PARAMS.model_copy(update=other)).matrix is None


def test_an_objects_filters_begin_with_the_pictures_strong_components_stronger():
    """But those that are learned layer by layer, as in the paper, or from the pictures themselves."""
    images, whitening = examples().float(), Whitening()
    learned_together = PARAMS.model_copy(update={"top": "object"})
    coloured = initial_coordinates_of(images, learned_together, whitening)
    patches = torch.nn.functional.unfold(images, 5).movedim(1, 2).flatten(0, 1)
    strength, components = torch.linalg.eigh(torch.cov(patches.T) + SIGMA**2 * torch.eye(50))
    drawn = coloured.filters(torch.randn(20_000, 2, 5, 5, generator=seeded(SEED))).flatten(1)
    weakest, strongest = ((drawn @ components[:, index]).std() for index in (0, -1))
    expected = (strength[-1] / strength[0]) ** (OBJECT_COLOURING / 2)
    assert (strongest / weakest).item() == pytest.approx(expected.item(), rel=0.1)
    for other in ({"layerwise": True}, {"contrastive": True}):
        params = learned_together.model_copy(update=other)
        assert initial_coordinates_of(images, params, whitening) is whitening
    assert initial_coordinates_of(images, PARAMS, whitening) is whitening


@every_top
def test_learning_rate_scales_are_shares_of_each_parameters_own_size(top, boundary):
    images = examples()
    net = random_net(architecture_of(PARAMS.model_copy(update={"top": top, "boundary": boundary}), 2), seed=3)
    whitening = measured_whitening(images)
    found = learning_rate_scales(net, images, boundary, whitening)
    by_name = dict(zip((name for name, _ in net.named_parameters()), found, strict=True))
    assert all(0 < scale < math.inf for scale in found)
    for index, ((_, biased), weight) in enumerate(zip(responses(net, images, boundary), net.weights, strict=True)):
        moved = (weight.flatten(1) @ whitening.inverse) if index == 0 else weight
        size, inputs = moved.square().mean().sqrt().item(), weight[0].numel()
        assert by_name[f"weights.{index}"] == pytest.approx(WEIGHT_RATE * size / inputs**0.5, rel=1e-9)
        assert by_name[f"biases.{index}"] == pytest.approx(BIAS_RATE * biased.square().mean().sqrt().item(), rel=1e-9)
    assert ("category_weights" in by_name) == (top == "category")
    if top == "category":
        assert by_name["category_weights"] == pytest.approx(WEIGHT_RATE / 8**0.5)
