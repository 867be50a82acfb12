"""Chunks on several threads (core/engine/parallel.py)."""

import threading
from collections.abc import Iterator

import pytest
import torch
from nets import case, seeded

from core.engine import Batch, FastEngine
from core.engine.blocked import BlockedNet
from core.engine.layout import Layout
from core.engine.onednn import has_onednn
from core.engine.parallel import parallel_map, set_threads
from core.engine.parallel import threads as threads_of

BFLOAT16 = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(not has_onednn(torch.bfloat16), reason="oneDNN has no bfloat16 on this processor"),
)


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[1, 2, 3])
def threads(request) -> int:
    torch.set_num_threads(request.param)
    return request.param


def test_the_number_of_threads_holds_to_the_end_of_its_block():
    """A worker's share of the cores changes at any time: not what is computed by one thread to keep its rounding."""
    torch.set_num_threads(3)
    assert set_threads(2)
    assert not set_threads(2), "it was that number already"
    with threads_of(1):
        with threads_of(1):
            assert not set_threads(3)
        assert not set_threads(3)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    assert set_threads(3)
    assert torch.get_num_threads() == 3


def test_results_come_back_in_order_and_without_gradients(threads):  # noqa: ARG001
    weight = torch.ones(1, requires_grad=True)
    found = parallel_map(lambda one, other: one * weight + other, range(5), range(10, 15))
    assert [value.item() for value in found] == [10, 12, 14, 16, 18]
    assert not any(value.requires_grad for value in found)


def test_each_worker_has_its_share_of_the_threads_and_the_caller_keeps_its_number(threads):
    def used(_: int) -> tuple[int, int]:
        torch.randn(200, 200).mm(torch.randn(200, 200)).sum()  # applies the number of threads
        return torch.get_num_threads(), threading.get_ident()

    for parts in (1, 2, 6):
        workers = min(threads, parts)
        shares, names = zip(*parallel_map(used, range(parts)), strict=True)
        assert set(shares) == {threads // workers}
        assert len(set(names)) <= workers
        assert torch.get_num_threads() == threads


def test_an_exception_in_a_worker_is_raised(threads):  # noqa: ARG001
    def fail(number: int) -> None:
        if number == 3:
            raise KeyError("three")

    with pytest.raises(KeyError, match="three"):
        parallel_map(fail, range(4))


def test_a_function_may_call_it_too(threads):
    def inner(number: int) -> list[int]:
        return parallel_map(lambda one: 10 * number + one, range(3))

    assert parallel_map(inner, range(2), threads_each=threads) == [[0, 1, 2], [10, 11, 12]]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
@pytest.mark.parametrize("boundary", ["valid", "torus", "padded"])
def test_the_basis_in_bands_is_that_of_the_whole_picture_to_the_bit(boundary, dtype):
    """Whether PyTorch would call a map small or not, with a mask, and if there is but one band."""
    several = 0
    for layers, size in (
        ([(96, 9, 3), (48, 3, 1), (32, 3, 1)], (96, 129)),
        ([(96, 9, 3), (48, 3, 1), (32, 3, 1)], (33, 300)),
        ([(96, 9, 3), (48, 3, 1), (32, 3, 1)], (48, 48)),
        ([(8, 6, 2), (3, 5, 1)], (100, 40)),
    ):
        one = case("a", layers, size, boundary, channels=3, count=2)
        layout = Layout.of(one.net.architecture, size, boundary)
        net = BlockedNet.of(one.net.float(), dtype)
        for count in (1, 2):
            blocks = layout.to_blocks(torch.randn(count, 3, *size, generator=seeded(4)))
            extended = layout.extend(blocks, dtype)
            for either in (net, net.with_packed_weights(layout, count)):
                found = []
                for number in (1, 2, 8):
                    torch.set_num_threads(number)
                    several += len(either._band_edges(extended.shape[2])) > 2
                    found.append(either.chunk_basis(blocks, layout))
                assert all(torch.equal(one, found[0]) for one in found[1:])
                assert found[0].any()
    assert several


@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
def test_gradients_are_the_same_to_the_bit_on_any_number_of_threads(dtype):
    """Also of a net with a stride above the first layer."""
    for layers in ([(96, 9, 3), (48, 3, 1), (32, 3, 1)], [(16, 7, 2), (24, 5, 2), (8, 3, 1)]):
        net = case("a", layers, (66, 66), "valid", channels=3).net.float()
        batches = [Batch(torch.randn(count, 3, 66, 66, generator=seeded(count)), "valid") for count in (1, 2)]
        found = []
        for number in (1, 2, 8):
            torch.set_num_threads(number)
            found.append([one.parameters for one in FastEngine(dtype).gradients(net, *batches)])
        for other in found[1:]:
            pairs = [pair for sides in zip(other, found[0], strict=True) for pair in zip(*sides, strict=True)]
            assert all(torch.equal(one, first) for one, first in pairs)
