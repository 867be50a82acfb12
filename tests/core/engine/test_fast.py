"""The fast engine's Langevin steps against those of eq. 19 (core/engine/fast.py)."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from engines import GivenNoise, a_box, every_engine_case, layout_of, noises, relative, stepped
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import BOUNDARIES, Case, case, random_cases, seeded

from core.engine import FastEngine, ReferenceEngine, fast
from core.engine.dynamics import Dynamics, random_phase
from core.engine.noise import STREAMS
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet

STEPS = 4


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def assert_runs_like_the_step(case, dynamics, monkeypatch):
    given = noises(case.images, STEPS)
    monkeypatch.setattr(fast, "noise_per_picture", GivenNoise.of_each(given, layout_of(case)))
    ours, theirs = seeded(11), seeded(11)
    found = FastEngine().run(case.net, case.images, STEPS, dynamics, ours)
    expected = stepped(case.net, case.images, dynamics, given, theirs)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert torch.equal(ours.get_state(), theirs.get_state())
    return found


@every_engine_case
def test_eq19_a_run_is_the_step_repeated(case, monkeypatch):
    assert_runs_like_the_step(case, Dynamics(0.7, case.boundary), monkeypatch)


@every_engine_case
@pytest.mark.parametrize("oblique", [False, True])
def test_eq19_a_run_in_a_box_is_projected_after_each_step(case, oblique, monkeypatch):
    box = a_box(case.images, oblique)
    found = assert_runs_like_the_step(case, Dynamics(0.7, case.boundary, box), monkeypatch)
    along = found if box.axes is None else torch.einsum("ac,nchw->nahw", box.axes, found)
    assert (along >= box.low - 1e-12).all()
    assert (along <= box.high + 1e-12).all()
    if found.numel() > 20:
        assert torch.minimum(along - box.low, box.high - along).abs().min() < 1e-12


@every_engine_case
def test_eq19_with_random_phases_a_run_rolls_the_pictures_before_each_step(case, monkeypatch):
    """Off the torus this is of no use, but computed in the same way."""
    for box in (None, a_box(case.images), a_box(case.images, oblique=True)):
        assert_runs_like_the_step(case, Dynamics(0.7, case.boundary, box, random_lattice=True), monkeypatch)


@given(random_cases(), st.sampled_from([None, False, True]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_eq19_a_run_is_the_step_repeated_on_any_net(case, oblique, random_lattice):
    box = None if oblique is None else a_box(case.images, oblique)
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert_runs_like_the_step(case, Dynamics(0.7, case.boundary, box, random_lattice), monkeypatch)


@every_engine_case
@pytest.mark.parametrize("random_lattice", [False, True])
def test_eq19_a_prepared_net_steps_as_the_rolled_chains_rolled_back(case, random_lattice, monkeypatch):
    """Off the torus rolling is of no use, but computed in the same way."""
    dynamics = Dynamics(0.7, case.boundary, a_box(case.images), random_lattice)
    prepared, ours, theirs = FastEngine().prepare(case.net), seeded(11), seeded(11)
    found, expected = case.images, case.images
    for noise in noises(case.images, STEPS):
        monkeypatch.setattr(fast, "noise_per_picture", GivenNoise.of_each([noise], layout_of(case)))
        found, before = prepared.step(found, dynamics, ours), theirs.get_state()
        expected = stepped(case.net, expected, dynamics, [noise], theirs)
        down, right = dynamics.draw_phase(case.net.architecture.total_stride, seeded(0).set_state(before))
        expected = expected.roll((-down, -right), (2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert torch.equal(ours.get_state(), theirs.get_state())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_prepared_net_draws_what_runs_of_one_step_draw(dtype):
    """To the bit: a seed gives one picture, whichever way it is drawn."""
    one = case("a", [(8, 7, 3), (4, 3, 1)], (24, 30), "torus", channels=3, count=3, reference_std=2.0)
    images, net = (one.images, one.net) if dtype == torch.float64 else (one.images.float(), one.net.float())
    engine, dynamics = FastEngine(torch.bfloat16 if dtype == torch.bfloat16 else None), Dynamics(0.7, "torus")
    prepared, ours, theirs = engine.prepare(net), seeded(3), seeded(3)
    found, expected = images, images
    for _ in range(3):
        down, right = random_phase(3, theirs)
        rolled = engine.run(net, expected.roll((down, right), (2, 3)), 1, dynamics, theirs)
        expected = rolled.roll((-down, -right), (2, 3))
        found = prepared.step(found, replace(dynamics, random_lattice=True), ours)
    assert torch.equal(found, expected)
    net.double()


@every_engine_case
@pytest.mark.parametrize("engine", [FastEngine(), ReferenceEngine()], ids=["fast", "reference"])
def test_eq16_the_basis_of_a_phase_is_that_of_the_rolled_pictures_rolled_back(case, engine):
    prepared = engine.prepare(case.net)
    for phase in ((0, 0), (1, 2)):
        rolled = ReferenceEngine().basis(case.net, case.images.roll(phase, (2, 3)), case.boundary)
        found = prepared.basis(case.images, case.boundary, phase)
        assert relative(found, rolled.roll((-phase[0], -phase[1]), (2, 3))) <= 1e-11


def test_a_prepared_net_is_laid_out_once_and_keeps_few_orders_of_its_weights(monkeypatch):
    one, made = a_case("torus"), []
    engine = FastEngine()
    monkeypatch.setattr(engine, "blocked", lambda *given: made.append(None) or FastEngine.blocked(engine, *given))
    prepared = engine.prepare(one.net)
    for _ in range(3):
        prepared.step(one.images, Dynamics(0.3, "torus", random_lattice=True), seeded())
        prepared.basis(one.images, "torus", (1, 1))
    monkeypatch.setattr(fast, "MAX_PACKED", 3)
    for side in range(20, 28):
        images = one.images[..., :side, :side]
        torch.testing.assert_close(prepared.basis(images, "valid"), engine.basis(one.net, images, "valid"))
        assert len(prepared._packed) <= 3
    assert len(made) == 1 + 8, "one for itself, and one for each of the engine's own passes"


RUNS = [
    (boundary, box, random_lattice)
    for boundary in BOUNDARIES
    for box in (False, True)
    for random_lattice in ((False, True) if boundary == "torus" else (False,))
]
every_run = pytest.mark.parametrize(("boundary", "bounded", "random_lattice"), RUNS)


def a_case(boundary, channels=3):
    """Off the torus with sides that are no multiples of the stride."""
    size = (24, 30) if boundary == "torus" else (23, 29)
    return case("a", [(8, 7, 3), (4, 3, 1)], size, boundary, channels=channels, count=3, reference_std=2.0)


def dynamics_of(one, bounded, random_lattice):
    return Dynamics(0.7, one.boundary, a_box(one.images, oblique=True) if bounded else None, random_lattice)


@every_run
def test_a_run_changes_neither_its_start_nor_the_global_generator_and_keeps_no_graph(boundary, bounded, random_lattice):
    one = a_case(boundary)
    before, state = one.images.clone(), torch.get_rng_state()
    made = FastEngine().run(one.net, one.images, 2, dynamics_of(one, bounded, random_lattice), seeded())
    assert torch.equal(one.images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not made.requires_grad
    assert made.grad_fn is None
    assert all(parameter.grad is None for parameter in one.net.parameters())
    assert made.is_contiguous()
    assert made.untyped_storage().data_ptr() != one.images.untyped_storage().data_ptr()


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stride", [1, 3])
def test_pictures_in_any_memory_format_are_accepted_and_not_changed(boundary, channels, stride, monkeypatch):
    one = case("a", [(4, 5, stride)], (9, 12), boundary, channels=channels)
    for images in (
        one.images.to(memory_format=torch.channels_last),
        one.images.transpose(2, 3).contiguous().transpose(2, 3),
        one.images[:1].expand(2, -1, -1, -1),
    ):
        before = images.clone()
        other = Case("other", one.net, images, boundary)
        assert_runs_like_the_step(other, Dynamics(0.7, boundary), monkeypatch)
        assert torch.equal(images, before)
    found = FastEngine().basis(one.net, one.images.to(memory_format=torch.channels_last), boundary)
    assert relative(found, ReferenceEngine().basis(one.net, one.images, boundary)) <= 1e-12


def test_on_a_processor_no_gpu_is_touched(monkeypatch):
    """Initializing CUDA would take memory of a GPU that another worker uses."""

    def touch(*_):
        raise AssertionError("a GPU was touched")

    for name in ("is_available", "init", "current_device", "device_count"):
        monkeypatch.setattr(torch.cuda, name, touch)
    one = a_case("torus")
    FastEngine().run(one.net.float(), one.images.float(), 2, Dynamics(0.3, "torus"), seeded())


def test_a_run_of_no_steps_returns_the_start():
    one = a_case("valid")
    assert torch.equal(FastEngine().run(one.net, one.images, 0, Dynamics(0.3), seeded()), one.images)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@every_run
def test_a_run_is_determined_by_the_generator_and_advances_it(boundary, bounded, random_lattice, dtype):
    one, engine = a_case(boundary), FastEngine(torch.bfloat16 if dtype == torch.bfloat16 else None)
    images = one.images if dtype == torch.float64 else one.images.float()
    dynamics = dynamics_of(one, bounded, random_lattice)
    net = one.net.to(images.dtype)
    try:
        generator, same = seeded(3), seeded(3)
        first = engine.run(net, images, 3, dynamics, generator)
        assert first.dtype == images.dtype
        assert torch.equal(first, engine.run(net, images, 3, dynamics, same))
        assert torch.equal(generator.get_state(), same.get_state())
        assert not torch.equal(first, engine.run(net, images, 3, dynamics, generator))
        assert not torch.equal(first, engine.run(net, images, 3, dynamics, seeded(4)))
    finally:
        net.double()


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_run_does_not_depend_on_the_number_of_threads(boundary, dtype, two_threads):  # noqa: ARG001
    one = case("a", [(16, 7, 3), (8, 3, 1), (8, 3, 1)], (60, 66), boundary, channels=3, count=3, reference_std=2.0)
    net, images = one.net.float(), one.images.float()
    dynamics = Dynamics(0.7, boundary)
    two = FastEngine(dtype).run(net, images, 5, dynamics, seeded(3))
    torch.set_num_threads(1)
    assert torch.equal(FastEngine(dtype).run(net, images, 5, dynamics, seeded(3)), two)


@pytest.mark.parametrize("engine", [FastEngine(), ReferenceEngine()])
def test_watched_chains_are_where_they_began_although_the_run_rolls_them(engine):
    """With steps so small that a chain hardly changes."""
    one, seen = case("a", [(16, 7, 3), (8, 3, 1)], (24, 30), "torus", channels=3, count=5), []
    dynamics = Dynamics(1e-6, "torus", random_lattice=True)
    given = {"dynamics": dynamics, "after_step": None}
    found = engine.run(one.net, one.images, 6, generator=seeded(), watch=lambda *shown: seen.append(shown), **given)
    assert torch.equal(found, engine.run(one.net, one.images, 6, generator=seeded(), **given))
    assert (found - one.images).abs().max() > 0.1, "moved"
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5, 6]

    def watch(_, look):
        torch.testing.assert_close(look(), one.images, rtol=0, atol=1e-4)
        seen.append(look)

    assert torch.equal(found, engine.run(one.net, one.images, 6, generator=seeded(), watch=watch, **given))
    assert len(seen) == 12


def test_the_callback_is_called_after_every_step_and_can_stop_the_run():
    one, calls = a_case("torus"), []
    FastEngine().run(one.net, one.images, 3, Dynamics(0.3, "torus"), seeded(), calls.append)
    assert calls == [1, 2, 3]

    def stop(step):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FastEngine().run(one.net, one.images, 10**9, Dynamics(0.3, "torus"), seeded(), stop)


@pytest.mark.parametrize(
    ("shape", "boundary"), [((1, 1, 9, 9), "valid"), ((1, 3, 4, 9), "valid"), ((1, 3, 8, 9), "torus")]
)
def test_pictures_that_do_not_suit_the_net_are_refused(shape, boundary):
    one = a_case("valid")
    with pytest.raises(ValueError, match="picture"):
        FastEngine().run(one.net, torch.zeros(shape, dtype=torch.float64), 1, Dynamics(0.3, boundary), seeded())


@pytest.mark.parametrize(
    ("stride", "shape", "boundary"),
    [
        (1, (1, 1, 9, 11), "torus"),
        (1, (5, 1, 1, 1), "torus"),
        (1, (1, 3, 1, 7), "torus"),
        (2, (3, 1, 2, 2), "torus"),
        (3, (2, 3, 6, 9), "torus"),
        (3, (2, 3, 11, 10), "valid"),
        (2, (2, 1, 5, 7), "padded"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_noise_of_each_picture_comes_from_its_own_streams_in_memory_order(stride, shape, boundary, dtype):
    """With B = 0 and chains at zero a step is ε Z. Fewer than STREAMS pictures have STREAMS streams each."""
    epsilon = 0.25
    net = GenerativeConvNet(Architecture((ConvLayer(1, 3, stride),), channels=shape[1])).to(dtype)
    with torch.no_grad():
        net.weights[0].zero_()
    one = Case("blank", net, torch.zeros(shape, dtype=dtype), boundary)
    made = FastEngine().run(net, one.images, 1, Dynamics(epsilon, boundary), seeded(8))
    generator, layout = seeded(8), layout_of(one)
    count, channels, height, width = layout.to_blocks(one.images).shape
    streams = 1 if count >= STREAMS else STREAMS
    drawn = []
    for _ in range(count):
        flat = torch.empty(channels * height * width, dtype=dtype)
        seeds = torch.randint(2**32, (streams,), generator=generator).tolist()
        for part, seed in zip(flat.tensor_split(streams), seeds, strict=True):
            part.normal_(generator=seeded(seed))
        drawn.append(layout.from_blocks(flat.view(1, height, width, channels).permute(0, 3, 1, 2)))
    drawn = torch.cat(drawn)
    torch.testing.assert_close(made, epsilon * drawn, rtol=1e-6, atol=0)
    assert made.ne(0).all()
