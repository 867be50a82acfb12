"""The noise is white, Gaussian, and determined by the generator (core/engine/noise.py)."""

import math
from collections.abc import Iterator

import pytest
import torch
from nets import seeded

from core.engine.noise import STREAMS, Noise, Share, noise_of_share, noise_per_picture

COUNT = 1 << 20
ERRORS = 4.5  # standard errors


@pytest.fixture(
    scope="module", params=[torch.float32, pytest.param(torch.float64, marks=pytest.mark.exhaustive)], ids=str
)
def fills(request):
    """Return two consecutive fills, converted to double precision."""
    noise, made = Noise(seeded(20)), []
    for _ in range(2):
        flat = torch.full((COUNT,), float("nan"), dtype=request.param)
        noise.fill(flat)
        made.append(flat.double())
    return made


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def correlation(one, other):
    return (one * other).mean().item() * math.sqrt(one.numel())  # in standard errors


def test_the_moments_are_those_of_the_normal_distribution(fills):
    for drawn in fills:
        mean = drawn.mean()
        centred = drawn - mean
        variance = centred.square().mean()
        skewness = centred.pow(3).mean() / variance**1.5
        kurtosis = centred.pow(4).mean() / variance**2
        assert abs(mean) < ERRORS * math.sqrt(1 / COUNT)
        assert abs(variance - 1) < ERRORS * math.sqrt(2 / COUNT)
        assert abs(skewness) < ERRORS * math.sqrt(6 / COUNT)
        assert abs(kurtosis - 3) < ERRORS * math.sqrt(24 / COUNT)


@pytest.mark.parametrize("beyond", [1.0, 2.0, 3.0, 4.0])
def test_both_tails_have_their_share(fills, beyond):
    share = math.erfc(beyond / math.sqrt(2)) / 2
    error = math.sqrt(share * (1 - share) / COUNT)
    for drawn in fills:
        assert abs((drawn > beyond).double().mean() - share) < ERRORS * error
        assert abs((drawn < -beyond).double().mean() - share) < ERRORS * error


def test_the_tails_are_not_truncated(fills):
    """Of COUNT numbers eight are expected beyond 4.75; none are with a probability of 2e-4."""
    for drawn in fills:
        assert 4.75 < drawn.abs().max() < 7


@pytest.mark.parametrize("power", [1, 2])
def test_neighbours_are_not_correlated(fills, power):
    """power 2: of the squares."""
    for drawn in fills:
        values = drawn if power == 1 else (drawn.square() - 1) / math.sqrt(2)
        for apart in (1, 2, 3, 4, 8, 16, 624, COUNT // 2):
            assert abs(correlation(values[:-apart], values[apart:])) < ERRORS


@pytest.mark.parametrize("power", [1, 2])
def test_streams_and_consecutive_fills_are_not_correlated(fills, power):
    first, second = (drawn if power == 1 else (drawn.square() - 1) / math.sqrt(2) for drawn in fills)
    parts = [*first.tensor_split(STREAMS), *second.tensor_split(STREAMS)]
    assert len(parts) == 2 * STREAMS
    for index, one in enumerate(parts):
        for other in parts[:index]:
            assert abs(correlation(one, other)) < ERRORS
    assert abs(correlation(first, second)) < ERRORS


def test_every_stream_passes_the_kolmogorov_smirnov_test(fills):
    """The distance lies below its 10^-4 quantile, √(ln(2 / 10^-4) / 2n)."""
    for drawn in (*fills, *fills[0].tensor_split(STREAMS)):
        cumulative = torch.special.ndtr(drawn.sort().values)
        ranks = torch.arange(len(drawn) + 1, dtype=torch.float64) / len(drawn)
        distance = torch.maximum((ranks[1:] - cumulative).max(), (cumulative - ranks[:-1]).max())
        assert distance < math.sqrt(math.log(2 / 1e-4) / (2 * len(drawn)))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 63, 10_007])
def test_exactly_the_given_memory_is_filled(count):
    around = torch.full((count + 2,), float("nan"))
    noise = Noise(seeded(1))
    noise.fill(around[1:-1])
    first = around[1:-1].clone()
    assert first.isfinite().all()
    assert around[[0, -1]].isnan().all()
    noise.fill(around[1:-1])
    assert (around[1:-1] != first).all()
    assert first.unique().numel() == count


@pytest.mark.parametrize(
    "shape", [(2, 9, 5, 7), (1, 1, 4, 4), (3, 1, 1, 1), (2, 3, 1, 1), (1, 4, 1, 6), (1, 9, 6, 1), (5, 1, 3, 2)]
)
def test_pictures_with_channels_innermost_are_filled_completely(shape):
    drawn = torch.full(shape, float("nan")).contiguous(memory_format=torch.channels_last)
    Noise(seeded(1)).fill(drawn.permute(0, 2, 3, 1).flatten())
    assert drawn.isfinite().all()


def test_the_noise_is_determined_by_the_seed():
    one, same, other = (torch.empty(1000) for _ in range(3))
    for flat, seed in ((one, 5), (same, 5), (other, 6)):
        Noise(seeded(seed)).fill(flat)
    assert torch.equal(one, same)
    assert (one != other).all()


def test_the_next_noise_of_a_generator_differs_in_every_stream():
    generator, drawn = seeded(5), []
    for _ in range(2):
        drawn.append(torch.empty(1000))
        Noise(generator).fill(drawn[-1])
    assert (drawn[0] != drawn[1]).all()


def test_every_stream_is_seeded_from_the_generator():
    one, other = (torch.empty(1000) for _ in range(2))
    Noise(seeded(5)).fill(one)
    moved = seeded(5)
    torch.rand(1, generator=moved)
    Noise(moved).fill(other)
    for part, there in zip(one.tensor_split(STREAMS), other.tensor_split(STREAMS), strict=True):
        assert (part != there).any()
    assert len({tuple(part.tolist()) for part in one.tensor_split(STREAMS)}) == STREAMS


def test_the_noise_does_not_depend_on_the_number_of_threads(two_threads):  # noqa: ARG001
    one, other = (torch.empty(100_003) for _ in range(2))
    parallel, serial = Noise(seeded(5)), Noise(seeded(5))
    for _ in range(3):
        torch.set_num_threads(2)
        parallel.fill(one)
        torch.set_num_threads(1)
        serial.fill(other)
        assert torch.equal(one, other)


def test_the_global_generator_is_not_used(two_threads):  # noqa: ARG001
    before = torch.get_rng_state()
    Noise(seeded(5)).fill(torch.empty(1000))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("whole", [STREAMS - 1, STREAMS + 1])
def test_a_picture_has_the_same_noise_in_a_share_as_among_all(whole):
    ours, theirs = seeded(5), seeded(5)
    expected = [torch.empty(100) for _ in range(whole)]
    for noise, flat in zip(noise_per_picture(ours, whole), expected, strict=True):
        noise.fill(flat)
    found = [torch.empty(100) for _ in range(whole - 1)]
    for noise, flat in zip(noise_of_share(theirs, Share(1, whole - 1, whole)), found, strict=True):
        noise.fill(flat)
    assert torch.equal(torch.stack(found), torch.stack(expected[1:]))
    assert torch.equal(ours.get_state(), theirs.get_state())
