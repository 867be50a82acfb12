"""Measure what turning by any angle takes from a photograph's detail: `python tools/turned_spectrum.py PHOTO`.

Prints for each band of the power spectrum, from the highest down, its lower edge in cycles a pixel and the power of
turned windows as a share of that of the same windows as they are.
"""

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from core.pictures.images import read_picture  # noqa: E402
from core.pictures.orientations import turned_by_random_angles  # noqa: E402
from core.pictures.spectrum import BANDS_PER_OCTAVE, NYQUIST, band_powers  # noqa: E402
from core.pictures.training_set import cut_patches  # noqa: E402
from core.schemas.orientations import turnable_side  # noqa: E402

SIDE, WINDOWS, SIZE = 128, 24, 512  # pixels of a window, their number, pixels that the photograph is scaled to


def main() -> None:
    (photo,) = sys.argv[1:]
    generator = torch.Generator().manual_seed(1)
    cut = cut_patches(read_picture(Path(photo).read_bytes(), SIZE, 3)[None], turnable_side(SIDE), WINDOWS, generator)
    margin = (cut.shape[-1] - SIDE) // 2
    as_they_are = band_powers(cut[..., margin:-margin, margin:-margin], SIDE)
    shares = band_powers(turned_by_random_angles(cut, SIDE, generator), SIDE) / as_they_are
    for band, share in enumerate(shares.tolist()):
        sys.stdout.write(f"from {NYQUIST * 2 ** (-band / BANDS_PER_OCTAVE):.3f}: {share:.2f}\n")


if __name__ == "__main__":
    main()
