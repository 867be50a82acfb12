"""Which pictures of a walk are kept."""

from itertools import pairwise

import pytest
import torch

from core.synthesis.walk import Walk


@pytest.mark.parametrize("steps", [400, 5])
def test_frames_go_from_the_first_picture_to_the_last_and_are_about_equally_far_apart(steps):
    walk, count = Walk(8, lambda picture: picture), 8
    at = [sum(0.9**step for step in range(done)) for done in range(steps + 1)]  # each step is shorter than the last
    for position in [*at, at[-1], at[-1]]:  # and the last ones do not move
        walk.add(torch.full((1, 1, 1), position, dtype=torch.float64))
        assert len(walk._held) <= 2 * count
    frames = walk.frames()
    assert [frame.step for frame in frames] == sorted({frame.step for frame in frames})
    assert all(frame.pixels.item() == at[frame.step] for frame in frames)
    assert (frames[0].step, frames[-1].pixels.item()) == (0, at[-1])
    if steps < count:
        assert [frame.step for frame in frames] == list(range(steps + 1))
    else:
        assert len(frames) == count
        gaps = [two.walked - one.walked for one, two in pairwise(frames)]
        assert max(gaps) <= 2.5 * at[-1] / (count - 1)
