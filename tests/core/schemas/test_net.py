"""How large a net may be (core/schemas/net.py)."""

import pytest

from core.schemas.net import LayerParams, check_net


def net(*layers):
    """Return layers given as filters, kernel size and stride."""
    return [LayerParams(filters=filters, kernel_size=size, stride=stride) for filters, size, stride in layers]


def test_a_kernel_larger_than_the_picture_is_refused():
    with pytest.raises(ValueError, match=r"layers\[0\].kernel_size is 17, .* only 16 x 16"):
        check_net(net((4, 17, 1)), 16)
    check_net(net((4, 16, 1)), 16)


def test_a_kernel_larger_than_the_map_below_it_is_refused():
    with pytest.raises(ValueError, match=r"layers\[1\].kernel_size is 5, .* only 4 x 4"):
        check_net(net((4, 7, 3), (4, 5, 1)), 16)  # (16 - 7) // 3 + 1 = 4
    check_net(net((4, 7, 3), (4, 4, 1)), 16)


def test_strides_larger_than_the_picture_are_refused():
    layers = net((1, 1, 4), (1, 1, 5))
    with pytest.raises(ValueError, match=r"layers\[1\].stride leaves nothing: the strides multiply to 20"):
        check_net(layers, 19)
    check_net(layers, 20)


@pytest.mark.parametrize(
    ("size", "layers", "message"),
    [
        (64, [(512, 5, 1), (512, 17, 1)], "have 75,798,016 weights, but at most 67,108,864 are allowed"),
        (1024, [(300, 1, 1)], "maps of 314,572,800 units for a picture of 1024 pixels"),
    ],
)
def test_nets_too_large_for_memory_are_refused(size, layers, message):
    with pytest.raises(ValueError, match=message):
        check_net(net(*layers), size)
    *below, (filters, kernel_size, stride) = layers
    check_net(net(*below, (filters // 2, kernel_size, stride)), size)
