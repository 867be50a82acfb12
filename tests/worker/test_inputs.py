"""How pictures are shown to a model (worker/inputs.py)."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from nets import random_net
from support.finished_models import learning_params, levels_of

from core.recipe.fine_detail import filtered
from core.schemas.model_file import DETAIL_FILTER_SIDE
from core.synthesis.trained_model import TrainedModel
from core.theory.boundary import crop
from core.theory.decoding import basis
from core.theory.learning import architecture_of
from worker.inputs import BoundaryHandling

LAYERS = {
    "windows of 5, stride 1": [(5, 1)],
    "windows of 6, stride 2": [(6, 2)],
    "windows of 9, stride 3": [(9, 3)],
    "windows of 8, stride 4": [(4, 2), (3, 2)],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_a_periodic_picture_of_any_side_has_its_own_basis_in_every_stride_phase(layers):
    """Compared with B in the middle of 3 x 3 copies of the picture, with the strides in the same phase."""
    described = [{"filters": 3, "kernel_size": size, "stride": stride} for size, stride in layers]
    params = learning_params(boundary="torus", layers=described)
    net = random_net(architecture_of(params, 1), seed=3)
    handling = BoundaryHandling.of_periodic(TrainedModel(net, levels_of(1), torch.zeros(1, 1, 16, 16), params))
    stride = net.architecture.total_stride
    generator = torch.Generator().manual_seed(1)
    for side in range(20, 20 + stride):
        picture = 20 * torch.randn(1, 1, side, side, generator=generator, dtype=torch.float64)
        for phase in product(range(stride), repeat=2):
            around = handling.extend(picture).roll(phase, (2, 3))
            found = basis(net, around, handling.boundary).roll((-phase[0], -phase[1]), (2, 3))
            first = [side + (one - side) % stride for one in phase]
            copies = picture.repeat(1, 1, 3, 3).roll([one - side for one in first], (2, 3))
            middle = basis(net, copies, "valid")[..., first[0] : first[0] + side, first[1] : first[1] + side]
            torch.testing.assert_close(crop(found, handling.margin), middle, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("periodic", [False, True])
def test_the_edges_of_a_picture_have_their_surroundings_as_far_as_fine_detail_is_filtered(periodic):
    params = learning_params(boundary="torus", layers=[{"filters": 3, "kernel_size": 5, "stride": 2}])
    kernel = torch.randn(DETAIL_FILTER_SIDE, DETAIL_FILTER_SIDE, dtype=torch.float64) / 15
    net, chains = random_net(architecture_of(params, 1), seed=3), torch.zeros(1, 1, 16, 16)
    plain = TrainedModel(net, levels_of(1), chains, params)
    model = replace(plain, detail_filter=kernel)
    ways = BoundaryHandling.of_periodic if periodic else BoundaryHandling.of
    handling, without = ways(model), ways(plain)
    assert (handling.margin - without.margin) % handling.stride == 0, "the strides lie as before"
    picture = torch.randn(1, 1, 41, 41, dtype=torch.float64)
    found = crop(filtered(handling.extend(picture), kernel), handling.margin)
    wide = replace(handling, margin=handling.margin + 20 - handling.margin % 2)
    expected = crop(filtered(wide.extend(picture), kernel), wide.margin)
    torch.testing.assert_close(found, expected)
