"""Categories: the discriminative ConvNet, the corresponding densities, and how to convert them (Def. 1, 2, Prop. 1).

A category's density p_c(I; w) = exp[f_c(I; w)] q(I) / Z_c(w) (eq. 4) can be compared with another's only if log Z_c is
known. `core.theory.partition.log_partition` estimates it.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.pictures.images import Levels
from core.schemas.geometry import Boundary
from core.theory.model import INITIAL_WEIGHT_STD, Architecture, GenerativeConvNet
from core.theory.partition import LogPartition, log_density


class DiscriminativeConvNet(nn.Module):
    """Def. 1: p(c | I; w), the softmax over C categories of scores that share one ConvNet.

    `trunk`: the shared layers. `category_weights`: w_c,k (C, filters of the top layer). `category_biases`: b_c (C,).
    The same architecture with top="category" is that of each category's generative model (Def. 2).
    """

    def __init__(self, architecture: Architecture, categories: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if architecture.top == "object":
            raise ValueError('a category weighs the highest filters (eq. 2), but top "object" has only one')
        if categories < 2:
            raise ValueError(f"categories must be at least 2, not {categories}")
        generator = generator or torch.Generator()
        self.trunk = GenerativeConvNet(replace(architecture, top="convolutional"), generator)
        weights = torch.empty(categories, architecture.layers[-1].filters)
        self.category_weights = nn.Parameter(weights.normal_(0, INITIAL_WEIGHT_STD, generator=generator))
        self.category_biases = nn.Parameter(torch.zeros(categories))

    def scores(self, images: Tensor, boundary: Boundary = "valid") -> Tensor:
        """Return f_c(I; w) = Σ_k w_c,k Σ_x [F_k^(L) * I](x) (eq. 2, whose top map has one position). -> (N, C)."""
        return self.trunk.feature_maps(images, boundary)[-1].sum(dim=(2, 3)) @ self.category_weights.T

    def posterior(self, images: Tensor, boundary: Boundary = "valid") -> Tensor:
        """Return p(c | I; w) = exp[f_c + b_c] / Σ_c exp[f_c + b_c] (eq. 3). images (N, C, H, W) -> (N, categories)."""
        return (self.scores(images, boundary) + self.category_biases).softmax(dim=1)


TOLERATED_ERRORS = 3.0  # standard errors


@dataclass(frozen=True)
class CategoryModel:
    """One of several categories that were learned separately: its net, its grey levels, its log Z."""

    net: GenerativeConvNet
    levels: Levels
    partition: LogPartition | float
    boundary: Boundary = "valid"


def posterior(scores: Tensor, log_priors: Tensor, log_partitions: Tensor) -> Tensor:
    """Return p(c | I) by Prop. 1 (a): eq. 3 with b_c = log ρ_c - log Z_c, Bayes' rule for the densities of eq. 4.

    scores f_c (N, C), log_priors log ρ_c (C,), log_partitions log Z_c (C,) -> p(c | I) (N, C).
    """
    return (scores + category_biases(log_priors, log_partitions)).softmax(dim=1)


def category_biases(log_priors: Tensor, log_partitions: Tensor) -> Tensor:
    """Return b_c = (log ρ_c - log Z_c) - (log ρ_1 - log Z_1), zero for the first category (Prop. 1). -> (C,).

    The base of Prop. 1 (b) has Z_1 = 1, hence b_c = log ρ_c - log ρ_1 - log Z_c: the paper prints + log Z_c there.
    """
    biases = log_priors - log_partitions
    return biases - biases[0]


def category_log_priors(biases: Tensor, log_partitions: Tensor) -> Tensor:
    """Return the log ρ_c that a discriminative net's biases imply: ρ_c ∝ exp(b_c) Z_c (Prop. 1 (b)). -> (C,)."""
    return (biases + log_partitions).log_softmax(dim=0)


@torch.no_grad()
def learned_biases(scores: Tensor, labels: Tensor, iterations: int = 1000) -> Tensor:
    """Return b_c by maximum likelihood of the labels for fixed scores f_c (Def. 1); b_1 = 0. -> (C,), float64.

    scores (N, C), labels (N,) from 0 to C - 1. The likelihood is maximal if Σ_n p(c | I_n) equals the count of each
    label; each iteration adds the logarithm of the missing factor. If the densities fit the pictures imperfectly, this
    classifies better than -log Z_c. Raises ValueError for a category without a picture.
    """
    scores = scores.double()
    counts = torch.bincount(labels, minlength=scores.shape[1])
    if len(counts) > scores.shape[1] or not counts.all():
        raise ValueError(f"each of the {scores.shape[1]} categories needs a picture, here they have {counts.tolist()}")
    biases = scores.new_zeros(scores.shape[1])
    for _ in range(iterations):
        missing = counts.log() - (scores + biases).log_softmax(dim=1).logsumexp(dim=0)
        biases = biases + missing
        if missing.abs().max() < 1e-9:
            break
    return biases - biases[0]


@torch.no_grad()
def reduce_to_base(net: DiscriminativeConvNet, base: int = 0) -> DiscriminativeConvNet:
    """Return a net with the same p(c | I) whose f and b are zero for the category `base`, as Prop. 1 (b) requires.

    Eq. 3 does not change if one function of I is subtracted from all f_c + b_c. f_c - f_base has the form of eq. 2 on
    the same layers with weights w_c,k - w_base,k, so every discriminative net can be reduced.
    """
    reduced = copy.deepcopy(net)
    reduced.category_weights.sub_(net.category_weights[base].clone())
    reduced.category_biases.sub_(net.category_biases[base].clone())
    return reduced


@torch.no_grad()
def category_models(net: DiscriminativeConvNet, base: int = 0) -> tuple[GenerativeConvNet, ...]:
    """Return p_c(I; w) ∝ exp[f_c(I; w)] q(I) for each category (Prop. 1 (b)); f_base = 0, so the base is q itself.

    They share no memory with `net`. With the priors of `category_log_priors`, Bayes' rule returns its p(c | I).
    """
    reduced = reduce_to_base(net, base)
    models = []
    for weights in reduced.category_weights:
        model = GenerativeConvNet(replace(net.trunk.architecture, top="category")).to(weights)
        model.load_state_dict({**reduced.trunk.state_dict(), "category_weights": weights})
        models.append(model)
    return tuple(models)


def class_log_densities(models: Sequence[CategoryModel], pictures: Tensor) -> Tensor:
    """Return log p(picture | c) in grey levels, evaluating each model in its own units. -> (N, C).

    pictures (N, C, H, W), grey levels 0 to 255, of the size that each `partition` was estimated for. A model's units
    are I = (picture - mean) gain, so log p(picture) = log p(I) + |D| log gain; |D| counts the channels too.
    """
    return torch.stack([_pixel_log_density(model, pictures) for model in models], dim=1)


def log_partition_bounds(own: Sequence[Tensor]) -> Tensor:
    """Return upper bounds (C, C) of log Z_a - log Z_b, whose lower bounds are those of log Z_b - log Z_a, negative.

    own: for each category log p(I | c) + log Z_c of pictures drawn from it, by each of the categories (N, C); the mean
    over them stands for the expectation. Z_b / Z_a = E_a exp(l_b - l_a), l = log p + log Z, is at least
    exp E_a (l_b - l_a) (Jensen's inequality), so log Z_a - log Z_b <= E_a (l_a - l_b).
    """
    means = torch.stack([one.double().mean(dim=0) for one in own])
    return means.diagonal()[:, None] - means


def are_within(log_partitions: Tensor, bounds: Tensor, errors: Tensor) -> bool:
    """Return True if all differences of log Z_c (C,) are within `log_partition_bounds` (C, C), as far as can be known.

    errors: the standard errors of log Z_c (C,); of those of the differences, TOLERATED_ERRORS may be chance.
    """
    differences = log_partitions[:, None] - log_partitions
    tolerance = TOLERATED_ERRORS * (errors[:, None] ** 2 + errors**2).sqrt() + 1e-9 * bounds.abs()
    return bool((differences <= bounds + tolerance).all())


def centred_log_partitions(bounds: Tensor) -> Tensor:
    """Return log Z_c (C,) but for a constant: the least-squares fit to the middles between `log_partition_bounds`.

    With these a picture goes to the category to whose own pictures its ratio of densities is nearer. The error is at
    most half the distance of the bounds, KL(a | b) + KL(b | a), so that a picture in between may have gone wrong.
    """
    return (bounds - bounds.T).mean(dim=1) / 2


def class_posterior(log_densities: Tensor, log_priors: Tensor | None = None) -> Tensor:
    """Return p(c | I) ∝ ρ_c p(I | c) (Bayes' rule); ρ is uniform if not given. (N, C), (C,) -> (N, C)."""
    return (log_densities if log_priors is None else log_densities + log_priors).softmax(dim=1)


def _pixel_log_density(model: CategoryModel, pictures: Tensor) -> Tensor:
    """Return log p(picture | c) of one model; see `class_log_densities`. -> (N,)."""
    images = model.levels.standardize(pictures.to(model.net.weights[0]))
    density = log_density(model.net, images, model.partition, model.boundary)
    return density + images[0].numel() * math.log(model.levels.gain)
