"""Pictures of several models: what is held in memory, and each part's fine detail."""

import weakref
from dataclasses import replace

import torch
from nets import random_net
from PIL import Image
from support.finished_models import learning_params, levels_of
from support.pictures import encoded

from core.pictures.images import to_pixels
from core.recipe.fine_detail import filtered
from core.schemas.blending import BlendedModel
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis import blend_sampler
from core.synthesis.blend_sampler import BlendSampler, open_sampler
from core.synthesis.trained_model import TrainedModel
from core.theory.learning import architecture_of


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_where_a_picture_begins_is_not_kept_during_its_steps(monkeypatch):
    """Of a large canvas it takes as much memory as the canvases themselves."""
    params = learning_params(boundary="torus")
    model = TrainedModel(
        random_net(architecture_of(params, 1), 3).float(), levels_of(1), torch.zeros(1, 1, 16, 16), params
    )
    blend = [BlendedModel(model_id="m", weight=0.5)]
    asked = ResolvedSampleParams(width=32, height=32, steps=3, step_size=0.8, seed=1, blend=blend)
    sampler = open_sampler([model, model], asked, [None])
    begun, begin = [], BlendSampler._begin

    def watched(*given):
        begun.append(weakref.ref(found := begin(*given)))
        return found

    monkeypatch.setattr(BlendSampler, "_begin", watched)
    alive = {}
    sampler.run(0, torch.Generator(), lambda done: alive.update({done: begun and begun[0]() is not None}))
    assert not any(is_alive for done, is_alive in alive.items() if done > 1)
    assert max(alive) == 3


def test_each_part_of_a_blend_has_its_models_fine_detail(monkeypatch):
    """As the model's own pictures have it, also across the rows that are computed at once."""
    params = learning_params(boundary="torus")
    kernel = torch.randn(5, 5, generator=seeded(1)) / 5
    plain = TrainedModel(
        random_net(architecture_of(params, 1), 3).float(), levels_of(1), torch.zeros(1, 1, 16, 16), params
    )
    sharp = replace(plain, detail_filter=kernel)
    asked = ResolvedSampleParams(
        width=32,
        height=40,
        steps=1,
        step_size=0.8,
        seed=1,
        tileable=True,
        blend=[BlendedModel(model_id="m", mask_dataset_id="d")],
    )
    canvas = 20 * torch.randn(2, 1, 40, 32, generator=seeded(2))
    monkeypatch.setattr(blend_sampler, "PROJECTED_ROWS", 16)
    mask = halves(0, 255)
    unfiltered, found = (
        open_sampler([plain, other], asked, [mask]).render(canvas, lambda _: None).float() for other in (plain, sharp)
    )
    assert torch.equal(found[..., 6:10], unfiltered[..., 6:10])
    expected = to_pixels(filtered(canvas[1:], kernel), plain.levels)[0].float()
    torch.testing.assert_close(found[..., 22:26], expected[..., 22:26], rtol=0, atol=1)


def halves(left: int, right: int) -> bytes:
    picture = Image.new("L", (64, 32), left)
    picture.paste(right, (32, 0, 64, 32))
    return encoded(picture, "PNG")
