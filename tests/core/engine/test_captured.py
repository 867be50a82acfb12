"""The steps that a GPU captures as a graph against eq. 19 (core/engine/captured.py), run one by one on a processor."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from engines import a_box, every_engine_case, in_single_precision, layout_of
from nets import Case, case, seeded

from core.engine.blocked import BlockedNet
from core.engine.dynamics import Dynamics
from core.engine.noise import Share
from core.theory.langevin import langevin_step

STEPS = 6
COUNTED = 20_000  # elements of all chains, at most
NAME = "core.engine.captured"


class Kernel:
    """Replaces the GPU's kernel: the same step with plain tensors; records its keys and noise."""

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.drawn: list[torch.Tensor] = []

    def advance_(self, chains, basis, key, step, first=0) -> None:
        for one in (chains, basis):
            assert one.is_contiguous(memory_format=torch.channels_last)
        self.keys.append(int(key))
        counted = torch.randn(COUNTED, generator=seeded(int(key)))[first : first + chains.numel()]
        self.drawn.append(counted.view_as(chains.movedim(1, -1)).movedim(-1, 1))  # channels are innermost in memory
        chains.copy_(step.image * chains + step.basis * basis.float() + step.noise * self.drawn[-1])
        key += 1


@pytest.fixture
def kernel(monkeypatch) -> Iterator[Kernel]:
    stand_in, known = Kernel(), NAME in sys.modules
    if find_spec("triton") is None:
        module = ModuleType("core.engine.kernel")
        module.advance_ = stand_in.advance_
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(importlib.import_module(NAME), "advance_", stand_in.advance_)
    yield stand_in
    if not known:
        sys.modules.pop(NAME)


def captured_runs():
    return sys.modules[NAME].CapturedRunner(capture=False)


def dynamics_on(one: Case, bounded: bool, random_lattice: bool) -> Dynamics:
    return Dynamics(0.7, one.boundary, a_box(one.images, oblique=True) if bounded else None, random_lattice)


@torch.no_grad()
def ran(runs, one, dynamics, generator, steps=STEPS, after_step=None, share=None, watch=None):
    blocked = BlockedNet.of(one.net, torch.float32, channel_alignment=8)
    return runs.run(blocked, layout_of(one), one.images, steps, dynamics, generator, after_step, share, watch)


def expected_run(one, dynamics, drawn, generator, graph_steps):
    """Repeat the step with the noise that was drawn; stride phases are drawn for a whole replay at once."""
    images, layout, stride = one.images, layout_of(one), one.net.architecture.total_stride
    torch.zeros(1, dtype=torch.int64).random_(2**62, generator=generator)
    for index, noise in enumerate(drawn):
        if dynamics.random_lattice:
            if index % graph_steps == 0:
                phases = torch.zeros(graph_steps, 2, dtype=torch.int64).random_(stride, generator=generator).tolist()
            images = images.roll(phases[index % graph_steps], dims=(2, 3))
        noise = layout.from_blocks(noise)
        images = langevin_step(one.net, images, dynamics.step_size, noise=noise, boundary=one.boundary)
        images = images if dynamics.box is None else dynamics.box.project(images)
    return images


@every_engine_case
@pytest.mark.parametrize("bounded", [False, True])
def test_eq19_replayed_steps_are_the_step_repeated(case, bounded, kernel):
    one = in_single_precision(case)
    for random_lattice in (False, True) if one.boundary == "torus" else (False,):
        dynamics, ours, theirs = dynamics_on(one, bounded, random_lattice), seeded(3), seeded(3)
        kernel.keys.clear()
        kernel.drawn.clear()
        before = one.images.clone()
        found = ran(captured_runs(), one, dynamics, ours)
        expected = expected_run(one, dynamics, kernel.drawn, theirs, STEPS)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(ours.get_state(), theirs.get_state())
        assert torch.equal(one.images, before)
        assert kernel.keys == list(range(kernel.keys[0], kernel.keys[0] + STEPS)), "no two steps share a key"


A_CASE = in_single_precision(case("a", [(8, 7, 3), (4, 3, 1)], (24, 30), "torus", channels=3, reference_std=2.0))


@pytest.mark.parametrize(
    ("steps", "expected_calls"), [(0, []), (7, [7]), (20, [10, 20]), (22, [*range(2, 23, 2)]), (11, [*range(1, 12)])]
)
def test_a_run_of_any_length_is_replayed_with_a_callback_after_each_replay(steps, expected_calls, kernel):
    calls, generator = [], seeded(5)
    dynamics = dynamics_on(A_CASE, bounded=True, random_lattice=True)
    found = ran(captured_runs(), A_CASE, dynamics, generator, steps, calls.append)
    assert calls == expected_calls
    assert len(kernel.drawn) == steps
    if steps:
        expected = expected_run(A_CASE, dynamics, kernel.drawn, seeded(5), calls[0])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(found, A_CASE.images)
        assert found.data_ptr() != A_CASE.images.data_ptr()


def test_watched_chains_are_where_they_began_although_each_step_rolls_them(kernel):  # noqa: ARG001
    seen, dynamics = [], replace(dynamics_on(A_CASE, bounded=False, random_lattice=True), step_size=1e-6)

    def watch(step, look):
        torch.testing.assert_close(look(), A_CASE.images, rtol=0, atol=1e-4)
        seen.append(step)

    found = ran(captured_runs(), A_CASE, dynamics, seeded(), 20, watch=watch)
    assert seen == [10, 20]
    assert (found - A_CASE.images).abs().max() > 0.1, "moved"


@pytest.mark.parametrize(("layers", "channels"), [([(8, 7, 3), (4, 3, 1)], 3), ([(4, 3, 1)], 1)])
def test_a_cached_graph_uses_new_weights_chains_and_boxes(layers, channels, kernel):  # noqa: ARG001
    """Learning changes them between runs of one graph, and other graphs are used in between."""

    def one(seed, height=24):
        return in_single_precision(case("one", layers, (height, 30), "torus", channels=channels, seed=seed))

    plain, bounded = (dynamics_on(one(0), bounded=bounded, random_lattice=False) for bounded in (False, True))
    narrow = replace(bounded, box=replace(bounded.box, low=bounded.box.low / 2))
    runs, made = captured_runs(), []
    assert one(0).net.architecture == one(1).net.architecture
    for this in (one(0), replace(one(0), images=2 * one(0).images), one(1), one(1, height=27), one(0)):
        for dynamics in (plain, bounded, narrow):
            found = ran(runs, this, dynamics, seeded(7))
            assert torch.equal(found, ran(captured_runs(), this, dynamics, seeded(7)))
            made.append((found, found.clone()))
    assert all(torch.equal(found, copy) for found, copy in made), "a result does not share memory with the graph"


def test_a_cached_graph_uses_new_weights_if_nothing_else_changed(kernel):  # noqa: ARG001
    runs, net = captured_runs(), in_single_precision(A_CASE).net
    one, dynamics = replace(A_CASE, net=net), dynamics_on(A_CASE, bounded=False, random_lattice=False)
    before = ran(runs, one, dynamics, seeded(7))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    after = ran(runs, one, dynamics, seeded(7))
    assert not torch.equal(after, before)
    assert torch.equal(after, ran(captured_runs(), one, dynamics, seeded(7)))


def test_a_share_of_the_chains_moves_as_among_all_of_them(kernel):  # noqa: ARG001
    dynamics, runs = dynamics_on(A_CASE, bounded=True, random_lattice=True), captured_runs()
    whole, rest = ran(runs, A_CASE, dynamics, seeded(5)), replace(A_CASE, images=A_CASE.images[1:])
    share = Share(1, len(rest.images), len(A_CASE.images))
    torch.testing.assert_close(ran(runs, rest, dynamics, seeded(5), share=share), whole[1:], rtol=1e-4, atol=1e-4)


def test_an_exception_of_the_callback_ends_the_run(kernel):
    def stop(done):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ran(captured_runs(), A_CASE, dynamics_on(A_CASE, bounded=False, random_lattice=False), seeded(), 10**6, stop)
    assert len(kernel.drawn) == 20
