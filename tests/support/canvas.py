"""The pixels that Chromium shows of a picture, on a canvas in sRGB."""

import base64
from collections.abc import Mapping

import numpy as np
from playwright.sync_api import Browser
from support import browser

DRAW = """async pictures => {
    const shown = {};
    for (const [name, [type, content]] of Object.entries(pictures)) {
        const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
        const image = new Image();
        image.src = URL.createObjectURL(new Blob([bytes], {type}));
        try { await image.decode(); } catch { continue; }
        const canvas = document.createElement('canvas');
        canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight;
        const context = canvas.getContext('2d', {colorSpace: 'srgb', willReadFrequently: true});
        context.drawImage(image, 0, 0);
        const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
        shown[name] = [canvas.height, canvas.width, btoa(String.fromCharCode(...data))];
    }
    return shown;
}"""


def shown(chromium: Browser, pictures: Mapping[str, tuple[str, bytes]]) -> dict[str, np.ndarray]:
    """Draw small pictures, given as (media type, content) -> (H, W, 4) bytes each. Broken ones are left out."""
    sent = {name: (kind, base64.b64encode(content).decode()) for name, (kind, content) in pictures.items()}
    with browser.opened(chromium) as page:
        drawn = page.evaluate(DRAW, sent)
    return {
        name: np.frombuffer(base64.b64decode(content), np.uint8).reshape(height, width, 4)
        for name, (height, width, content) in drawn.items()
    }
