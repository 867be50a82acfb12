"""Pictures in the terminal: by Kitty's graphics protocol where it is offered, else by coloured half blocks."""

import io
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

CELLS = 32  # width of a preview


def can_draw(console: "Console") -> bool:
    """Return True for a terminal with 24-bit colours."""
    return (
        console.is_terminal
        and sys.stdout.isatty()
        and sys.stdin.isatty()  # which the terminal's answer is read from
        and console.color_system == "truecolor"
        and not console.no_color
        and min(os.get_terminal_size(sys.stdout.fileno())) > 0  # some terminals do not know their size
    )


def renderable(content: bytes, console: "Console") -> Any:
    """Return an encoded picture as Rich draws it."""
    logging.getLogger("textual_image").setLevel(logging.ERROR)
    from PIL import Image
    from textual_image.renderable import HalfcellImage, TGPImage
    from textual_image.renderable import Image as Offered

    # Sixel is not used: it cannot be drawn again in place.
    kind = TGPImage if Offered is TGPImage else HalfcellImage
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    return kind(picture, width=min(CELLS, console.width), height="auto")
