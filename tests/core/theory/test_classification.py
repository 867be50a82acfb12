import math
from dataclasses import replace

import pytest
import torch
from nets import BOUNDARIES, each_once, random_net, seeded

from core.pictures.images import Levels, standardize
from core.recipe.learner import learn
from core.schemas.learning import LearningParams
from core.theory.classification import (
    CategoryModel,
    DiscriminativeConvNet,
    are_within,
    category_biases,
    category_log_priors,
    category_models,
    centred_log_partitions,
    class_log_densities,
    class_posterior,
    learned_biases,
    log_partition_bounds,
    posterior,
    reduce_to_base,
)
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet
from core.theory.partition import LogPartition, log_density, log_partition

EXACT = {"rtol": 1e-9, "atol": 1e-9}
LAYERS = (ConvLayer(3, 3, 2), ConvLayer(4, 2))
PRIORS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


def discriminative_net(layers=LAYERS, *, channels=2, reference_std=1.5, categories=3, seed=0):
    """Random weights of both signs and random biases; float64."""
    net = DiscriminativeConvNet(Architecture(layers, channels, reference_std), categories).double()
    net.trunk = random_net(net.trunk.architecture, seed)
    with torch.no_grad():
        net.category_weights.normal_(0, 0.7, generator=seeded(seed))
        net.category_biases.normal_(0, 1, generator=seeded(seed + 1))
    return net


def pictures(size=6, channels=2, count=5, seed=3):
    return 2 * torch.randn(count, channels, size, size, generator=seeded(seed), dtype=torch.float64)


def pixel_categories(*weights_and_biases, reference_std=1.0):
    """One pixel x and one filter a category: f_c(x) = max(0, w x + b), w >= 0 or not."""
    nets = []
    for weight, bias in weights_and_biases:
        net = GenerativeConvNet(Architecture((ConvLayer(1, 1),), 1, reference_std)).double()
        with torch.no_grad():
            net.weights[0].fill_(weight)
            net.biases[0].fill_(bias)
        nets.append(net)
    return nets


def pixel_log_partition(net):
    """r = w x + b ~ N(b, s²), s = |w| σ: E exp max(0, r) = Φ(-b / s) + exp(b + s² / 2) Φ(b / s + s)."""
    bias, spread = net.biases[0].item(), net.weights[0].abs().item() * net.architecture.reference_std
    normal = torch.distributions.Normal(0.0, 1.0)
    off, on = normal.cdf(torch.tensor([-bias / spread, bias / spread + spread], dtype=torch.float64))
    return (off + math.exp(bias + spread**2 / 2) * on).log()


def reference_log_prob(images, reference_std):
    """log q (eq. 8), each pixel's normal density by itself. (N, C, H, W) -> (N,)."""
    zero, std = torch.tensor([0.0, reference_std], dtype=torch.float64)
    return torch.distributions.Normal(zero, std).log_prob(images).sum(dim=(1, 2, 3))


def grid(reference_std, span=16.0, count=200_001):
    """Pixels x (count, 1, 1, 1) over ± `span` σ, and the distance between two."""
    line = torch.linspace(-span * reference_std, span * reference_std, count, dtype=torch.float64)
    return line.view(-1, 1, 1, 1), (line[1] - line[0]).item()


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_eq2_a_categorys_score_is_the_weighted_sum_of_the_highest_maps(boundary):
    net, images = discriminative_net(), pictures()
    weights, maps = net.category_weights.tolist(), net.trunk.feature_maps(images, boundary)[-1].flatten(2).tolist()
    expected = [
        [sum(weights[c][k] * response for k in range(4) for response in maps[n][k]) for c in range(3)] for n in range(5)
    ]
    torch.testing.assert_close(net.scores(images, boundary), torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_eq2_where_the_top_map_is_one_position_as_in_the_paper():
    net, images = discriminative_net(), pictures(size=5)
    maps = net.trunk.feature_maps(images)[-1]
    assert maps.shape[2:] == (1, 1)
    torch.testing.assert_close(net.scores(images), maps.squeeze() @ net.category_weights.T, **EXACT)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_eq3_the_posterior_is_the_softmax_of_score_plus_bias(boundary):
    net, images = discriminative_net(), pictures()
    unnormalized = (net.scores(images, boundary) + net.category_biases).exp()
    expected = unnormalized / unnormalized.sum(dim=1, keepdim=True)
    torch.testing.assert_close(net.posterior(images, boundary), expected, **EXACT)


def test_def1_the_weights_of_all_layers_and_categories_are_learnable():
    """A few steps up the likelihood of the labels of two kinds of pictures: all are then told apart."""
    net = DiscriminativeConvNet(Architecture((ConvLayer(4, 3),), channels=1), 2, seeded(1)).double()
    images = 0.3 * torch.randn(20, 1, 6, 6, generator=seeded(2), dtype=torch.float64)
    images[:10] += torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(3)
    labels = torch.arange(20) // 10
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = -net.posterior(images).log()[range(20), labels].mean()
        loss.backward()
        assert all(parameter.grad is not None for parameter in net.parameters())
        optimizer.step()
    assert torch.equal(net.posterior(images).argmax(dim=1), labels)


def test_eq4_a_categorys_density_integrates_to_one_and_is_the_tilted_reference():
    """On one pixel, by quadrature: q exp f / Z with Z in closed form, f weighted by a w_c of either sign."""
    for net in pixel_categories((2.0, -1.0), (-0.7, 0.5), reference_std=1.5):
        x, width = grid(1.5)
        log_z = pixel_log_partition(net)
        density = log_density(net, x, log_z.item()).exp()
        assert density.sum().item() * width == pytest.approx(1, rel=1e-8)
        reference = reference_log_prob(x, 1.5).exp()
        torch.testing.assert_close(density, net.score(x).exp() * reference / log_z.exp(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_def2_a_categorys_model_tilts_the_reference_by_that_categorys_score(boundary):
    net, images = discriminative_net(), pictures()
    reduced = net.scores(images, boundary) - net.scores(images, boundary)[:, :1]
    models = category_models(net)
    for index, model in enumerate(models):
        assert model.architecture.top == "category"
        torch.testing.assert_close(model.score(images, boundary), reduced[:, index], **EXACT)
        prior = images.square().sum(dim=(1, 2, 3)) / (2 * 1.5**2)
        torch.testing.assert_close(model.energy(images, boundary), prior - reduced[:, index], **EXACT)


def test_prop1a_bayes_rule_on_the_densities_is_the_softmax_with_log_prior_minus_log_z():
    """Three categories with closed-form Z: densities first, then Bayes; against eq. 3 with b_c = log ρ_c - log Z_c."""
    nets = pixel_categories((1.0, 0.3), (-2.0, 1.0), (0.5, -1.0), reference_std=1.2)
    log_z = torch.stack([pixel_log_partition(net) for net in nets])
    x = torch.linspace(-4, 4, 41, dtype=torch.float64).view(-1, 1, 1, 1)
    densities = torch.stack([log_density(net, x, z.item()) for net, z in zip(nets, log_z, strict=True)], dim=1).exp()
    by_bayes = densities * PRIORS / (densities * PRIORS).sum(dim=1, keepdim=True)
    scores = torch.stack([net.score(x) for net in nets], dim=1)
    torch.testing.assert_close(posterior(scores, PRIORS.log(), log_z), by_bayes, **EXACT)
    torch.testing.assert_close((scores + PRIORS.log() - log_z).softmax(dim=1), by_bayes, **EXACT)
    torch.testing.assert_close(class_posterior(densities.log(), PRIORS.log()), by_bayes, **EXACT)
    assert (posterior(scores, PRIORS.log(), 0 * log_z) - by_bayes).abs().max() > 0.05  # without Z it is not


@each_once("boundary, base", BOUNDARIES, [0, 2])
def test_prop1b_every_discriminative_net_is_reduced_to_a_base_without_score_and_bias(boundary, base):
    net, images = discriminative_net(), pictures()
    reduced = reduce_to_base(net, base)
    torch.testing.assert_close(reduced.posterior(images, boundary), net.posterior(images, boundary), **EXACT)
    assert torch.equal(reduced.scores(images, boundary)[:, base], torch.zeros(5, dtype=torch.float64))
    assert reduced.category_biases[base] == 0
    base_model = category_models(net, base)[base]
    torch.testing.assert_close(log_density(base_model, images, 0.0, boundary), reference_log_prob(images, 1.5), **EXACT)
    assert log_partition(base_model, (6, 6), boundary=boundary, generator=seeded(), chains=2, temperatures=3).value == 0


def test_prop1b_category_models_with_their_priors_equal_the_discriminative_net():
    """log Z_c by quadrature on one pixel. The biases are log ρ_c - log ρ_1 - log Z_c, not + log Z_c as is printed."""
    net = reduce_to_base(discriminative_net((ConvLayer(3, 1), ConvLayer(2, 1)), channels=1, reference_std=1.2, seed=5))
    models = category_models(net)
    x, width = grid(1.2)
    reference = reference_log_prob(x, 1.2)
    log_z = torch.stack([((model.score(x) + reference).logsumexp(dim=0) + math.log(width)) for model in models])
    assert log_z[0].item() == pytest.approx(0, abs=1e-9)
    log_priors = category_log_priors(net.category_biases, log_z)
    assert log_priors.exp().sum().item() == pytest.approx(1)
    seen = x[::4000]
    densities = torch.stack(
        [log_density(model, seen, z.item()) for model, z in zip(models, log_z, strict=True)], dim=1
    ).exp()
    by_bayes = densities * log_priors.exp() / (densities * log_priors.exp()).sum(dim=1, keepdim=True)
    torch.testing.assert_close(by_bayes, net.posterior(seen), rtol=1e-7, atol=1e-9)
    recovered = log_priors - log_priors[0] - log_z
    torch.testing.assert_close(recovered, net.category_biases, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(category_biases(log_priors, log_z), net.category_biases, rtol=1e-7, atol=1e-9)
    printed = (net.scores(seen) + log_priors - log_priors[0] + log_z).softmax(dim=1)
    assert (printed - by_bayes).abs().max() > 0.05


def test_category_models_share_no_memory_with_the_discriminative_net():
    net = discriminative_net()
    before = [parameter.clone() for parameter in net.parameters()]
    for model in category_models(net):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(7.0)
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), before, strict=True))


def test_densities_of_separately_learned_models_are_compared_in_grey_levels():
    """log p(x) in pixels integrates to one whatever the model's mean and gain, which differ between the models."""
    x = torch.linspace(-400, 655, 400_001, dtype=torch.float64).view(-1, 1, 1, 1)
    models = []
    nets = pixel_categories((0.4, 1.0), (-0.2, 0.5), reference_std=8.0)
    for net, mean, gain in zip(nets, (100.0, 150.0), (0.5, 3.0), strict=True):
        levels = Levels(torch.tensor([mean]), gain)
        models.append(CategoryModel(net, levels, LogPartition(pixel_log_partition(net).item(), 0.0, 1.0)))
    densities = class_log_densities(models, x)
    assert densities.shape == (len(x), 2)
    mass = densities.exp().sum(dim=0) * (x[1] - x[0]).item()
    torch.testing.assert_close(mass, torch.ones(2, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_a_model_with_another_gain_has_the_same_density_for_the_same_picture():
    """σ, weights and gain scaled together describe one density of pixels; every channel's pixels count."""
    grey = 255 * torch.rand(3, 3, 5, 5, generator=seeded(8), dtype=torch.float64)
    _, levels = standardize(grey)
    net = random_net(Architecture((ConvLayer(4, 3),), channels=3, reference_std=30.0), seed=1)
    with torch.no_grad():
        net.weights[0].div_(30)
    partition = log_partition(net, (5, 5), generator=seeded(), chains=4, temperatures=5)
    stretched = GenerativeConvNet(replace(net.architecture, reference_std=60.0)).double()
    stretched.load_state_dict(net.state_dict())
    with torch.no_grad():
        stretched.weights[0].div_(2)
    one, same = (
        CategoryModel(net, levels, partition),
        CategoryModel(stretched, Levels(levels.mean, 2.0), partition),
    )
    densities = class_log_densities([one, same], grey)
    torch.testing.assert_close(densities[:, 0], densities[:, 1], **EXACT)


def test_class_posterior_uses_uniform_priors_by_default():
    densities = torch.tensor([[-1000.0, -1001.0], [5.0, 5.0]], dtype=torch.float64)
    expected = torch.tensor([[1 / (1 + math.exp(-1)), 1 / (1 + math.e)], [0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(class_posterior(densities), expected, **EXACT)
    torch.testing.assert_close(
        class_posterior(densities, torch.tensor([0.25, 0.75], dtype=torch.float64).log())[1],
        torch.tensor([0.25, 0.75], dtype=torch.float64),
        **EXACT,
    )


def test_prop1a_learned_biases_are_log_prior_minus_log_z():
    """Pixels drawn from three categories of known Z: maximum likelihood of b_c finds log ρ_c - log Z_c."""
    nets = pixel_categories((1.0, 0.3), (-2.0, 1.0), (0.5, -1.0), reference_std=1.2)
    log_z = torch.stack([pixel_log_partition(net) for net in nets])
    x, _ = grid(1.2, span=9, count=40_001)
    counts, generator = (10_000 * PRIORS).int().tolist(), seeded(11)
    drawn, labels = [], []
    for index, (net, z, count) in enumerate(zip(nets, log_z, counts, strict=True)):
        density = log_density(net, x, z.item()).detach().exp()
        drawn.append(x[torch.multinomial(density, count, replacement=True, generator=generator)])
        labels += [index] * count
    scores = torch.stack([net.score(torch.cat(drawn)) for net in nets], dim=1).detach()
    found = learned_biases(scores, torch.tensor(labels))
    expected = category_biases(PRIORS.log(), log_z)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=0.15)
    totals = (scores + found).softmax(dim=1).sum(dim=0)
    torch.testing.assert_close(totals, torch.tensor(counts, dtype=torch.float64), rtol=1e-3, atol=0)


def test_the_models_own_pictures_bound_the_differences_of_log_z():
    """Pixels drawn from three categories of known Z; the bounds' expectations by numerical integration."""
    nets = pixel_categories((1.0, 0.3), (-2.0, 1.0), (0.5, -1.0), reference_std=1.2)
    log_z = torch.stack([pixel_log_partition(net) for net in nets])
    x, step = grid(1.2, span=12, count=40_001)
    unnormalised = torch.stack([log_density(net, x, 0.0) for net in nets], dim=1).detach()
    density = (unnormalised - log_z).exp() * step
    generator = seeded(11)
    drawn = [torch.multinomial(density[:, one], 10_000, replacement=True, generator=generator) for one in range(3)]
    bounds = log_partition_bounds([unnormalised[indices] for indices in drawn])
    expected = torch.stack([(density[:, [a]] * (unnormalised[:, [a]] - unnormalised)).sum(dim=0) for a in range(3)])
    torch.testing.assert_close(bounds, expected, rtol=0, atol=0.05)
    assert (bounds.diagonal() == 0).all()
    no_errors = torch.zeros(3, dtype=torch.float64)
    assert are_within(log_z, expected, no_errors)
    for a, b in ((0, 1), (2, 0), (1, 2)):
        beyond = log_z.clone()
        beyond[a] += 1.01 * (expected[a, b] - (log_z[a] - log_z[b]))
        assert not are_within(beyond, expected, no_errors)
        distance = (beyond[:, None] - beyond - expected).max()
        one_is_uncertain = torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64)
        one_is_uncertain[a] = distance / 2.9
        assert are_within(beyond, expected, one_is_uncertain), "a deviation of 2.9 standard errors"
        one_is_uncertain[a] = distance / 3.1
        assert not are_within(beyond, expected, one_is_uncertain)


def test_centred_log_partitions_lie_in_the_middle_of_each_pairs_bounds():
    """Two normal densities of one width: the divergences are equal, so that the middle is log Z_a - log Z_b itself."""
    bounds = torch.tensor([[0.0, 7.0, 9.0], [-3.0, 0.0, 4.0], [-1.0, 2.0, 0.0]], dtype=torch.float64)
    found = centred_log_partitions(bounds)  # middles: 5 for (0, 1), 5 for (0, 2), 1 for (1, 2)
    torch.testing.assert_close(found, torch.tensor([10 / 3, -4 / 3, -2.0], dtype=torch.float64), **EXACT)
    means, std, log_z = torch.tensor([-3.0, 5.0]), 2.0, torch.tensor([11.0, -4.0])
    own = [-((mean - means) ** 2 + std**2) / (2 * std**2) + log_z for mean in means]  # E_a l_b, but for a constant
    values = centred_log_partitions(log_partition_bounds([one[None] for one in own]))
    assert (values[0] - values[1]).item() == pytest.approx(15.0)


def test_learned_biases_converge_for_scores_thousands_apart():
    scores = torch.tensor([[-9000.0, -3000.0], [-9400.0, -3300.0], [-8000.0, -2900.0], [-8800.0, -3500.0]])
    labels = torch.tensor([0, 1, 0, 0])  # by the difference alone: -6000, -6100 | -5100, -5300
    biases = learned_biases(scores, labels)
    assert torch.equal((scores + biases).argmax(dim=1), labels)
    with pytest.raises(ValueError, match=r"\[4, 0\]"):
        learned_biases(scores, torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="2 categories"):
        learned_biases(scores, torch.tensor([0, 1, 2, 0]))


def stripes(upright, count, seed, size=16):
    """Waves across or along, of any phase, under a little noise, in grey levels 0 to 255."""
    generator = seeded(seed)
    phase = 2 * math.pi * torch.rand(count, 1, 1, 1, generator=generator)
    wave = 30 * torch.sin(1.2 * torch.arange(size) + phase)
    noise = 4 * torch.randn(count, 1, size, size, generator=generator)
    return 120 + (wave if upright else wave.transpose(2, 3)).expand(count, 1, size, size) + noise


def test_separately_learned_textures_are_classified_by_their_densities():
    """Two models, each learned from its own pictures alone, log Z of each by annealing; pictures that neither saw."""
    params = LearningParams.model_validate(
        {
            "image_size": 16,
            "layers": [{"filters": 8, "kernel_size": 5, "stride": 2}, {"filters": 8, "kernel_size": 3}],
            "layerwise": False,
            "boundary": "padded",
            "num_chains": 8,
            "reference_std": 8.0,
            "picture_noise": 8.0,
            "step_size": 2.0,
            "iterations": 25,
            "learning_rate": 0.003,
            "seed": 1,
        }
    )
    levels = Levels(torch.tensor([120.0]))
    models = []
    for upright in (0, 1):
        net = learn(stripes(upright, 8, seed=upright) - 120, params).net
        partition = log_partition(
            net, (16, 16), boundary="padded", generator=seeded(), chains=4, temperatures=20, steps=3
        )
        models.append(CategoryModel(net, levels, partition, "padded"))
    for upright in (0, 1):
        densities = class_log_densities(models, stripes(upright, 10, seed=10 + upright))
        assert (class_posterior(densities)[:, upright] > 0.99).all()


def test_invalid_discriminative_nets_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="object"):
        DiscriminativeConvNet(Architecture(LAYERS, top="object"), 3)
    with pytest.raises(ValueError, match="at least 2, not 1"):
        DiscriminativeConvNet(Architecture(LAYERS), 1)
