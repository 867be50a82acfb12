"""JPEG: scaled while it is decoded, in little memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import pictures
from support.reading import read


@pytest.mark.parametrize("factor", range(2, 13))
@pytest.mark.parametrize("size", [(301, 200), (200, 301), (300, 26)])
def test_a_jpeg_never_keeps_more_pixels_than_allowed(size: tuple[int, int], factor: int) -> None:
    """Its decoder scales by 2, 4 or 8, and the rest is left to the reader."""
    most = -(-size[0] // factor) * -(-size[1] // factor)
    found = read(pictures.encoded(pictures.colors(*size), "JPEG", quality=95), max_stored_pixels=most)
    height, width = found.pixels.shape[:2]
    assert most / 2 < width * height <= most
    by = {5: 6, 7: 8, 9: 12, 10: 12, 11: 12}.get(factor, factor)
    assert (width, height) == (-(-size[0] // by), -(-size[1] // by))
    expected = np.asarray(pictures.colors(*size).reduce(by)).astype(int)
    assert np.abs(found.pixels.astype(int) - expected).mean() < 2


MEASURED = """
import resource, sys
from support.reading import read
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
found = read(open(sys.argv[1], "rb").read())
print(found.pixels.shape, found.notes)
"""


def test_a_jpeg_of_108_megapixels_is_decoded_in_little_memory(tmp_path: Path) -> None:
    """As a phone makes it; its pixels would fill 324 MB, and as many again to convert them."""
    path = tmp_path / "108.jpg"
    Image.linear_gradient("L").resize((12_000, 9_000), Image.Resampling.NEAREST).convert("YCbCr").save(path, quality=50)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", MEASURED, str(path), str(512 << 20)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(4500, 6000, 3) ['scaled down from 12000 x 9000 to 6000 x 4500 pixels']\n"


def test_a_progressive_jpeg_for_which_memory_is_short_is_not_called_broken(tmp_path: Path) -> None:
    path = tmp_path / "progressive.jpg"
    Image.new("RGB", (5_000, 5_000)).save(path, quality=50, progressive=True, subsampling=0)  # 150 MB of coefficients
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", MEASURED, str(path), str(384 << 20)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stderr.splitlines()[-1].split(":")[0].endswith("MemoryError"), done.stderr
    assert "broken" not in done.stderr
