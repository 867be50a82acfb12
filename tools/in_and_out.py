"""Write docs/images/in-and-out.png from a run of `make demo`: `python tools/in_and_out.py demo-output`.

What went in: the part of examples/texture.png that the preset saw, as it saw it. What came out: a sampled picture, and
the same laid two by two.
"""

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
SEEN, GAP, HEIGHT = 96, 24, 288  # pixels: side of `quick`'s pictures, space between two, height of the whole


def main(folder: Path) -> None:
    with Image.open(ROOT / "examples/texture.png") as opened:
        photograph = opened.convert("L").resize((SEEN, SEEN), Image.Resampling.LANCZOS)
    with Image.open(folder / "sampled/synthesized-000.png") as opened:
        tile = opened.convert("L")
    laid = Image.new("L", (2 * tile.width, 2 * tile.height))
    for x in (0, tile.width):
        for y in (0, tile.height):
            laid.paste(tile, (x, y))
    parts = [photograph.resize((HEIGHT, HEIGHT), Image.Resampling.NEAREST), tile, laid]
    sheet = Image.new("L", (sum(part.width for part in parts) + 2 * GAP, max(part.height for part in parts)), 255)
    x = 0
    for part in parts:
        sheet.paste(part, (x, (sheet.height - part.height) // 2))
        x += part.width + GAP
    sheet.save(ROOT / "docs/images/in-and-out.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
