"""Chunks on several threads (core/engine/parallel.py), and packed weights (core/engine/blocked.py)."""

import threading
from collections.abc import Iterator

import pytest
import torch
from engines import relative
from nets import case, seeded

from core.engine.blocked import BlockedNet
from core.engine.layout import Layout
from core.engine.parallel import parallel_map


@pytest.fixture(params=[1, 2, 3])
def threads(request) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


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


@pytest.mark.parametrize("boundary", ["valid", "torus", "padded"])
def test_packed_weights_give_the_same_basis(boundary):
    """Also with a stride above the first layer and with a kernel larger than its map, which are not packed top-down."""
    for layers in ([(16, 7, 3), (8, 3, 1), (8, 3, 1)], [(8, 5, 1), (8, 3, 2)], [(40, 6, 3), (8, 10, 1)]):
        one = case("a", layers, (60, 66), boundary, channels=3, count=2)
        layout = Layout.of(one.net.architecture, (60, 66), boundary)
        blocks = layout.to_blocks(torch.randn(2, 3, 60, 66, generator=seeded(4)))
        net = BlockedNet.of(one.net.float(), torch.bfloat16)
        found, expected = (of.basis(blocks, layout).float() for of in (net.with_packed_weights(layout, 2), net))
        assert relative(found, expected) < 1e-2
        assert expected.any()
