"""Write docs/images/photo.jpg: `python tools/photo_sheet.py DRAWN` beside the example it was learned from.

DRAWN: a picture of 512 x 512 pixels that a model learned by `photo` from the studio's example gravel.jpg, as
`genconvnet train api/web/studio/examples/gravel.jpg --preset photo --seed 1 --out FOLDER` writes it.
"""

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
GAP, QUALITY = 16, 88


def main(drawn: Path) -> None:
    with Image.open(ROOT / "api/web/studio/examples/gravel.jpg") as given, Image.open(drawn) as made:
        sheet = Image.new("L", (given.width + GAP + made.width, max(given.height, made.height)), 255)
        sheet.paste(given.convert("L"), (0, 0))
        sheet.paste(made.convert("L"), (given.width + GAP, 0))
    sheet.save(ROOT / "docs/images/photo.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
