"""The engine on a GPU, with the real kernel and real graphs. Skipped without a GPU; `make bench-gpu` runs them."""

from collections.abc import Iterator

import pytest
import torch
from engines import relative
from nets import case

from core.engine import FastEngine, ReferenceEngine
from core.engine.blocked import BlockedNet
from core.engine.dynamics import Dynamics
from core.engine.layout import Layout
from core.engine.precision import reproducible_cudnn
from core.pictures.colour_box import ColourBox
from core.theory.langevin import LangevinCoefficients

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
GPU = torch.device("cuda")
SHAPES = [([(24, 7, 3), (10, 3, 1)], (48, 60), "torus"), ([(24, 6, 2), (10, 5, 1)], (45, 41), "padded")]
every_shape = pytest.mark.parametrize(("layers", "size", "boundary"), SHAPES)
every_dtype = pytest.mark.parametrize("dtype", [None, torch.bfloat16])


@pytest.fixture(autouse=True)
def exact_arithmetic() -> Iterator[None]:
    """Also for the reference engine and for graphs that a test runs directly."""
    with reproducible_cudnn():
        yield


def on_gpu(layers, size, boundary):
    one = case("one", layers, size, boundary, channels=3, reference_std=4.0)
    return one.net.float().to(GPU), one.images.float().to(GPU), boundary


def generator(seed=3):
    return torch.Generator(GPU).manual_seed(seed)


@every_shape
def test_basis_and_gradient_are_the_references(layers, size, boundary):
    """test_blocked.py does this in bfloat16."""
    net, images, boundary = on_gpu(layers, size, boundary)
    engine, reference = FastEngine(), ReferenceEngine()
    assert relative(engine.basis(net, images, boundary), reference.basis(net, images, boundary)) < 1e-5
    found, expected = (one.gradient(net, images, boundary) for one in (engine, reference))
    for here, there in zip(found.parameters, expected.parameters, strict=True):
        assert relative(here, there) < 1e-4


def test_float32_is_not_tf32_even_if_the_process_allows_it(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    net, images, boundary = on_gpu(*SHAPES[0])
    exact = ReferenceEngine().basis(net.double(), images.double(), boundary)
    assert relative(FastEngine().basis(net.float(), images, boundary), exact) < 1e-5


@every_shape
@pytest.mark.parametrize("bounded", [False, True])
def test_a_captured_run_is_the_steps_run_one_by_one(layers, size, boundary, bounded):
    """A single step; over many steps the runs drift apart, because a unit near zero may fall to either side."""
    from core.engine.captured import CapturedRunner

    net, images, boundary = on_gpu(layers, size, boundary)
    box = ColourBox(torch.full((3, 1, 1), -20.0), torch.full((3, 1, 1), 20.0)) if bounded else None
    dynamics = Dynamics(2.0, boundary, box, random_lattice=boundary == "torus")
    layout = Layout.of(net.architecture, tuple(images.shape[2:]), boundary)
    captured, plain, calls = CapturedRunner(), CapturedRunner(capture=False), []
    blocked = BlockedNet.of(net, torch.float32, 8)
    for seed in (1, 2):  # the second run replays the graph of the first
        here = captured.run(blocked, layout, images, 1, dynamics, generator(seed))
        there = plain.run(blocked, layout, images, 1, dynamics, generator(seed))
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-4)
    assert captured._cached is not None
    assert captured._cached._graph is not None
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    blocked = BlockedNet.of(net, torch.float32, 8)
    for seed in (1, 2):
        here = captured.run(blocked, layout, images, 20, dynamics, generator(seed), calls.append)
        there = plain.run(blocked, layout, images, 20, dynamics, generator(seed))
        torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-3)
    assert calls == [10, 20] * 2


@every_shape
@every_dtype
def test_a_seed_gives_the_same_pictures_by_two_engines(layers, size, boundary, dtype):
    """Bit by bit; each engine captures its own graph."""
    net, images, boundary = on_gpu(layers, size, boundary)
    dynamics = Dynamics(0.5, boundary)
    first, second = (FastEngine(dtype).run(net, images, 30, dynamics, generator()) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, FastEngine(dtype).run(net, images, 30, dynamics, generator(4)))


def test_the_engine_captures_a_graph():
    net, images, boundary = on_gpu(*SHAPES[0])
    engine = FastEngine(torch.bfloat16)
    engine.run(net, images, 10, Dynamics(0.5, boundary), generator())
    assert engine._cached_runner is not None
    assert engine._cached_runner._cached is not None
    assert engine._cached_runner._cached._graph is not None


def test_the_kernel_is_the_formula_and_its_noise_white():
    from core.engine.kernel import advance_

    shape = (4, 12, 200, 200)
    still, key = (
        torch.zeros(shape, device=GPU).contiguous(memory_format=torch.channels_last),
        torch.tensor([7], device=GPU),
    )
    first, second = still.clone(), still.clone()
    for one in (first, second):
        advance_(one, still, key, LangevinCoefficients(1.0, 0.0, 1.0))
    assert key.item() == 9
    count = first.numel()
    for noise in (first, second):
        assert abs(noise.mean().item()) < 4.5 / count**0.5
        assert abs(noise.var().item() - 1) < 4.5 * (2 / count) ** 0.5
        assert abs((noise**4).mean().item() - 3) < 4.5 * (96 / count) ** 0.5
    assert abs((first * second).mean().item()) < 4.5 / count**0.5
    chains, basis = (
        torch.randn(shape, device=GPU, generator=generator(seed)).contiguous(memory_format=torch.channels_last)
        for seed in (1, 2)
    )
    expected = 0.9 * chains + 0.3 * basis + 0.5 * first
    advance_(chains, basis, torch.tensor([7], device=GPU), LangevinCoefficients(0.9, 0.3, 0.5))
    torch.testing.assert_close(chains, expected, rtol=1e-5, atol=1e-5)


@every_shape
def test_without_active_units_the_chains_converge_to_the_reference(layers, size, boundary):
    """Zero weights: N(0, σ² / (1 - ε² / 4σ²)), as on the processor."""
    net, images, boundary = on_gpu(layers, size, boundary)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    many = images[:1].expand(64, -1, -1, -1).contiguous()
    ended = FastEngine(torch.bfloat16).run(net, many, 100, Dynamics(2.0, boundary), generator(), None)
    variance = 16 / (1 - 4 / (4 * 16))
    assert ended.var().item() == pytest.approx(variance, rel=4.5 * (2 / ended.numel()) ** 0.5)
