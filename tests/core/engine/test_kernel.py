"""The kernel of core/engine/kernel.py in Triton's interpreter on a processor; test_gpu.py runs it on a GPU.

Needs `pip install triton`, which is a dependency of PyTorch's CUDA builds.
"""

import os
import subprocess
import sys

import pytest

STEPS = """
import torch
from core.engine.kernel import advance_
from core.theory.langevin import LangevinCoefficients

shape = (2, 12, 40, 50)
seeds = torch.Generator().manual_seed(1)
still = torch.zeros(shape).contiguous(memory_format=torch.channels_last)
key = torch.tensor([7])
only_noise, all_three = LangevinCoefficients(1.0, 0.0, 1.0), LangevinCoefficients(0.9, 0.3, 0.5)
drawn = [still.clone() for _ in range(2)]
for one in drawn:
    advance_(one, still, key, only_noise)
assert key.item() == 9
count = still.numel()
for noise in drawn:
    assert abs(noise.mean()) < 4.5 / count**0.5
    assert abs(noise.var() - 1) < 4.5 * (2 / count) ** 0.5
    assert abs((noise**4).mean() - 3) < 4.5 * (96 / count) ** 0.5
assert abs((drawn[0] * drawn[1]).mean()) < 4.5 / count**0.5
chains, basis = (torch.randn(shape, generator=seeds).contiguous(memory_format=torch.channels_last) for _ in range(2))
rest, second = drawn[0][1:].contiguous(memory_format=torch.channels_last), torch.zeros_like(drawn[0][1:])
advance_(second, second.clone(), torch.tensor([7]), only_noise, second.numel())
assert torch.equal(second, rest), "a share has the noise of its elements among all"
expected = 0.9 * chains + 0.3 * basis + 0.5 * drawn[0]
advance_(chains, basis, torch.tensor([7]), all_three)
torch.testing.assert_close(chains, expected, rtol=1e-5, atol=1e-5)
try:
    advance_(chains, basis[:1], key, all_three)
except ValueError as error:
    assert "must have one shape" in str(error)
else:
    raise AssertionError("no error for shapes that differ")
print("as the formula")
"""


def test_the_kernel_is_the_formula_and_its_noise_white() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    ran = subprocess.run(
        [sys.executable, "-c", STEPS],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "as the formula\n"), ran.stderr
