"""Canvases computed tile by tile against the same computed as a whole (core/engine/tiling.py)."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from engines import GivenNoise, a_box, in_single_precision, noises, relative, stepped
from nets import case, seeded
from support.preloaded import fork_server

from core.engine import FastEngine, ReferenceEngine, tiling
from core.engine.dynamics import Dynamics
from core.engine.tiling import map_tiles, run_in_tiles, tile_side, tiles
from core.pictures.images import Levels, to_pixels
from core.pictures.patchwork import patchwork
from core.recipe.denoising import denoise
from core.recipe.stride_pattern import limit_stride_pattern_, pattern_limit
from core.recipe.tone import Tone
from core.synthesis.sampling import render, synthesize
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet

WHOLE = 1 << 20  # side of a tile larger than any canvas here
SIDES = (24, 40)
STEPS = 3


def on_a_canvas(name, layers, size, **settings):
    return case(name, layers, size, "torus", count=settings.pop("count", 1), **settings)


CANVASES = [
    on_a_canvas("7every2", [(5, 7, 2), (3, 3, 1)], (90, 56), channels=3, reference_std=2.0),
    on_a_canvas("7every3,3every2", [(5, 7, 3), (4, 3, 2)], (54, 96), top="category", count=2),
    on_a_canvas("2every3", [(4, 2, 3), (3, 2, 1)], (51, 60), channels=3),
    on_a_canvas("5", [(4, 5, 1)], (47, 61), reference_std=1.5),
    on_a_canvas("15every3", [(6, 15, 3), (4, 5, 1), (3, 3, 1)], (84, 48), channels=3, reference_std=2.0),
    on_a_canvas("smaller_than_the_window", [(6, 15, 3), (4, 5, 1), (3, 3, 1)], (9, 27), count=2),
    on_a_canvas("of_one_stride", [(4, 5, 2), (3, 3, 2)], (4, 4), channels=3),
    on_a_canvas("stride_beyond_window", [(4, 3, 2), (3, 1, 3)], (54, 48)),
]
every_canvas = pytest.mark.parametrize("one", CANVASES, ids=lambda one: one.name)
every_side = pytest.mark.parametrize("side", [24, pytest.param(40, marks=pytest.mark.exhaustive)])


def dynamics_on(one, *, bounded=True, random_lattice=True):
    return Dynamics(0.6, "torus", a_box(one.images, oblique=True) if bounded else None, random_lattice)


every_dynamics = pytest.mark.parametrize(
    ("bounded", "random_lattice"),
    [
        (True, True),
        pytest.param(False, False, marks=pytest.mark.exhaustive),
        pytest.param(True, False, marks=pytest.mark.exhaustive),
        pytest.param(False, True, marks=pytest.mark.exhaustive),
    ],
)


def ran(one, dynamics, side, *, seed=5, engine=None, steps=STEPS, after_part=None):
    engine = engine or FastEngine()
    return run_in_tiles(engine, one.net, one.images.clone(), steps, dynamics, seeded(seed), after_part, side)


@every_canvas
@pytest.mark.parametrize("side", [7, 40, *(pytest.param(side, marks=pytest.mark.exhaustive) for side in (1, 24, 512))])
@pytest.mark.parametrize("phase", [(0, 0), (1, 2)])
def test_tiles_cover_a_canvas_once_and_lie_within_their_windows(one, side, phase):
    height, width = one.images.shape[2:]
    covered = torch.zeros(height, width, dtype=torch.int64)
    numbers = torch.arange(height * width).view(1, 1, height, width)
    stride, reach = one.net.architecture.total_stride, one.net.architecture.receptive_field - 1
    for tile in tiles(one.net.architecture, one.images, side, phase):
        tile.of(covered).add_(1)
        window = tile.window(numbers)
        assert torch.equal(tile.crop(window), tile.of(numbers))
        assert max(tile.of(numbers).shape[2:]) <= max(side, stride)
        for lines, first, by in (
            (tile.window_rows, tile.rows, phase[0]),
            (tile.window_columns, tile.columns, phase[1]),
        ):
            before = tile.inside[0].start if lines is tile.window_rows else tile.inside[1].start
            assert before >= reach
            assert (first.start - before + by) % stride == 0, "windows begin at multiples of the stride"
            assert len(lines) >= before + first.stop - first.start + reach
    assert (covered == 1).all()


def test_most_canvases_need_several_tiles():
    counts = [len(list(tiles(one.net.architecture, one.images, SIDES[0]))) for one in CANVASES]
    assert sum(count >= 4 for count in counts) >= 6


@pytest.mark.parametrize(
    "layers", [[(4, 5, 1)], [(100, 15, 3), (64, 5, 1), (30, 3, 1)], [(256, 3, 1)] * 3, [(512, 31, 1)] * 2]
)
def test_a_tile_is_as_large_as_its_maps_have_room(layers):
    """Many filters that see far are given more room, so that a tile is no smaller than what lies around it."""
    shape, any_canvas = Architecture(tuple(ConvLayer(*layer) for layer in layers)), torch.zeros(1, 1, 9, 9)
    side, around = tile_side(shape, any_canvas), 2 * (shape.receptive_field - 1)
    window = side + around
    sizes = shape.map_sizes(window + shape.halo)
    taken = sum(4 * layer.filters * size**2 for layer, size in zip(shape.layers, sizes, strict=True))
    assert side >= 2 * around
    assert taken < 1.3 * tiling.TILE_BYTES["cpu"] or side == 2 * around
    assert taken > 0.7 * tiling.TILE_BYTES["cpu"]


@every_canvas
@every_side
def test_eq16_a_tiles_basis_is_that_of_the_whole_canvas(one, side):
    whole = ReferenceEngine().basis(one.net, one.images, "torus")
    for shift in ((0, 0), (1, 3)):
        shift = tuple(by % one.net.architecture.total_stride for by in shift)
        back = (-shift[0], -shift[1])
        whole = ReferenceEngine().basis(one.net, one.images.roll(shift, (2, 3)), "torus").roll(back, (2, 3))
        for tile in tiles(one.net.architecture, one.images, side, shift):
            basis = tile.crop(FastEngine().basis(one.net, tile.window(one.images), "valid"))
            torch.testing.assert_close(basis, tile.of(whole), rtol=1e-11, atol=1e-11)


@every_canvas
@every_side
@every_dynamics
def test_eq19_a_run_in_tiles_is_that_of_a_single_tile(one, side, bounded, random_lattice):
    dynamics = dynamics_on(one, bounded=bounded, random_lattice=random_lattice)
    whole = ran(one, dynamics, WHOLE)
    assert relative(ran(one, dynamics, side), whole) <= 1e-12
    assert not torch.equal(whole, one.images)


@every_canvas
@every_side
def test_eq19_in_single_precision_a_run_in_tiles_is_that_of_a_single_tile_up_to_rounding(one, side):
    single = in_single_precision(one)
    dynamics = dynamics_on(single)
    whole = ran(single, dynamics, WHOLE)
    assert whole.dtype == torch.float32
    assert (ran(single, dynamics, side) - whole).abs().max() < 1e-4


@every_canvas
@every_side
@every_dynamics
@pytest.mark.parametrize(
    "engine",
    [FastEngine(), pytest.param(ReferenceEngine(), marks=pytest.mark.exhaustive)],
    ids=lambda engine: type(engine).__name__,
)
def test_eq19_a_run_in_tiles_is_the_step_repeated(one, side, bounded, random_lattice, engine, monkeypatch):
    """With random phases the canvas stays and the tiles move: as the step on the rolled canvas, rolled back."""
    dynamics = dynamics_on(one, bounded=bounded, random_lattice=random_lattice)
    given = noises(one.images, STEPS)
    monkeypatch.setattr(tiling, "Noise", GivenNoise(given))
    found = ran(one, dynamics, side, engine=engine, seed=9)
    expected = stepped(one.net, one.images, dynamics, given, seeded(9), roll_back=True)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_random_phases_change_the_result():
    one = CANVASES[0]
    fixed, random = (ran(one, dynamics_on(one, random_lattice=random_lattice), 24) for random_lattice in (False, True))
    assert not torch.allclose(fixed, random, atol=1e-3)


def test_a_run_alternates_between_two_canvases_and_keeps_no_graph():
    one, state = CANVASES[0], torch.get_rng_state()
    chains = one.images.clone()
    for steps in (1, 2):
        made = run_in_tiles(FastEngine(), one.net, chains, steps, dynamics_on(one), seeded(), None, 24)
        assert (made.data_ptr() == chains.data_ptr()) == (steps == 2)
        assert not made.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("random_lattice", [False, True])
def test_a_run_is_determined_by_the_generator_and_advances_it(random_lattice):
    one = CANVASES[4]
    dynamics = dynamics_on(one, random_lattice=random_lattice)
    first, same, other = (ran(one, dynamics, 24, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    generator = seeded(5)
    run_in_tiles(FastEngine(), one.net, one.images.clone(), 1, dynamics, generator)
    assert not torch.equal(generator.get_state(), seeded(5).get_state())


@every_side
def test_the_callback_gets_rising_fractions_of_steps(side):
    one, calls = CANVASES[0], []
    ran(one, dynamics_on(one), side, after_part=calls.append)
    count = len(list(tiles(one.net.architecture, one.images, side)))
    assert calls == pytest.approx([(part + 1) / count for part in range(STEPS * count)])
    assert all(earlier < later for earlier, later in pairwise(calls))
    assert [step for step in calls if step == int(step)] == list(range(1, STEPS + 1))


def test_an_exception_of_the_callback_ends_the_run_within_a_step():
    one, calls = CANVASES[0], []

    def stop(done):
        calls.append(done)
        if done > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ran(one, dynamics_on(one), 24, steps=10**9, after_part=stop)
    assert 1 < calls[-1] < 2


@pytest.mark.parametrize("size", [(12, 13), (13, 12), (12, 9)])
def test_canvases_that_do_not_suit_the_net_are_refused(size):
    one = on_a_canvas("one", [(4, 5, 2), (3, 3, 2)], (12, 12))
    with pytest.raises(ValueError, match="multiples of the net's stride"):
        run_in_tiles(FastEngine(), one.net, torch.zeros(1, 1, *size), 1, Dynamics(0.3, "torus"), seeded())
    with pytest.raises(ValueError, match="pictures must be"):
        run_in_tiles(FastEngine(), one.net, torch.zeros(1, 3, 12, 12), 1, Dynamics(0.3, "torus"), seeded())


@every_canvas
@every_side
@pytest.mark.parametrize("random_lattice", [False, True])
def test_denoising_in_tiles_is_denoising_the_whole(one, side, random_lattice):
    whole = denoise(one.net, one.images, 0.8, "torus", random_lattice)
    for basis in (ReferenceEngine().basis, FastEngine().basis):
        calls = []

        def denoise_window(window, basis=basis):
            return denoise(one.net, window, 0.8, "valid", random_lattice, basis)

        given = torch.full_like(one.images, float("nan"))
        made = map_tiles(one.net.architecture, one.images, denoise_window, given, calls.append, side)
        assert made.data_ptr() == given.data_ptr()
        torch.testing.assert_close(made, whole, rtol=1e-11, atol=1e-11)
        assert calls == pytest.approx([(part + 1) / len(calls) for part in range(len(calls))])


def test_an_exception_of_the_callback_ends_mapping_tiles():
    one, calls = CANVASES[0], []

    def stop(share):
        calls.append(share)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_tiles(one.net.architecture, one.images, lambda window: window, one.images.clone(), stop, 24)
    assert len(calls) == 1


LEVELS = Levels(torch.tensor([120.0, 90.0, 100.0], dtype=torch.float64), gain=0.05)
TONE = Tone(1.1, 0.05)


@pytest.mark.parametrize("random_lattice", [False, True])
@pytest.mark.parametrize("noise_std", [0.0, 0.8])
@pytest.mark.parametrize(("size", "boundary"), [((528, 12), "torus"), ((24, 18), "torus"), ((23, 19), "padded")])
def test_rendered_pictures_are_the_denoised_whole_as_bytes(size, boundary, noise_std, random_lattice, monkeypatch):
    """Also on a canvas of two tiles."""
    monkeypatch.setattr(tiling, "tile_side", lambda *_: 500)
    one = case("developed", [(4, 5, 3), (3, 3, 2)], size, boundary, channels=3, count=2)
    calls, dynamics = [], Dynamics(0.3, boundary, random_lattice=random_lattice and boundary == "torus")
    found = render(one.net, one.images, LEVELS, noise_std, dynamics, FastEngine(), TONE, calls.append)
    whole = denoise(one.net, one.images, noise_std, boundary, dynamics.random_lattice)
    mean = one.images.mean(dim=(2, 3), keepdim=True)
    assert found.dtype == torch.uint8
    assert torch.equal(found, to_pixels((whole - mean) * 1.1 + mean - mean.clamp(-0.05, 0.05), LEVELS))
    assert found.double().std() > 10
    assert calls == ([] if boundary != "torus" else [0.5, 1.0] if size[0] > 500 else [1.0])


def test_fine_detail_is_filtered_across_the_borders_of_tiles(monkeypatch):
    monkeypatch.setattr(tiling, "tile_side", lambda *_: 200)
    one = case("developed", [(4, 5, 3), (3, 3, 2)], (528, 12), "torus", channels=3, count=2)
    tone = Tone(1.1, 0.05, torch.randn(11, 11, dtype=torch.float64, generator=seeded(1)) / 10)
    dynamics = Dynamics(0.3, "torus", random_lattice=True)
    found = render(one.net, one.images, LEVELS, 0.8, dynamics, FastEngine(), tone, as_bytes=False)
    clean = denoise(one.net, one.images, 0.8, "torus", random_lattice=True)
    expected = LEVELS.to_grey_levels(tone.apply(clean, one.images.mean(dim=(2, 3), keepdim=True)))
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-3)


def test_an_exception_of_the_callback_ends_rendering():
    one = case("developed", [(4, 5, 3)], (24, 18), "torus", channels=3)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(one.net, one.images, LEVELS, 0.8, Dynamics(0.3, "torus"), FastEngine(), TONE, stop)


@pytest.mark.parametrize("random_lattice", [False, True])
def test_a_large_picture_is_synthesized_in_tiles(random_lattice, monkeypatch):
    """With one byte more than a picture that is computed as a whole."""
    one = case("large", [(4, 5, 3)], (24, 24), "torus", count=2)
    dynamics, calls, seen = dynamics_on(one, random_lattice=random_lattice), [], []

    def synthesized():
        return synthesize(
            one.net, 2, 25, 30, steps=2, dynamics=dynamics, generator=seeded(4), start=one.images,
            engine=FastEngine(), after_step=calls.append, watch=lambda step, look: seen.append((step, look().clone())),
        )  # fmt: skip

    maps = 27 * 30 * 4 * one.images.element_size() // 9
    monkeypatch.setitem(tiling.MAX_UNTILED_BYTES, "cpu", maps)
    whole = synthesized()
    monkeypatch.setitem(tiling.MAX_UNTILED_BYTES, "cpu", maps - 1)
    found, generator = synthesized(), seeded(4)
    start = torch.cat([patchwork(one.images, 27, 30, 3, generator) for _ in range(2)])
    expected = run_in_tiles(FastEngine(), one.net, start, 2, dynamics, generator)
    assert [step for step, _ in seen] == [1, 2, 1, 2]
    assert torch.equal(seen[-1][1], expected)
    if random_lattice:
        expected = limit_stride_pattern_(expected, 3, pattern_limit(one.images, 3, 27 * 30))
    assert torch.equal(found, expected)
    assert found.shape == whole.shape == (2, 1, 27, 30)
    assert [done for done in calls if done] == [1, 2, 1, 2]


def test_many_filters_need_no_more_memory_than_few():
    """As a whole the picture would need 260 MiB of maps; tiles take 100 to 155. Runs in its own process."""
    with fork_server().Pool(1) as pool:
        taken = pool.apply(mib_taken_by_a_step, ([(256, 3, 1)], 512))
    assert taken < 200


def mib_taken_by_a_step(layers, size):
    net = GenerativeConvNet(Architecture(tuple(ConvLayer(*layer) for layer in layers), channels=1))

    def step(side):
        start, dynamics = torch.zeros(1, 1, 24, 24), Dynamics(0.3, "torus")
        synthesize(net, 1, side, side, steps=1, dynamics=dynamics, generator=seeded(), start=start, engine=FastEngine())

    step(24)  # loads the libraries
    before = status_mib("VmRSS")
    step(size)
    return status_mib("VmHWM") - before


def status_mib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024
