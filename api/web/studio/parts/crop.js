// A picture as the model will see it: its middle, at the size that is read; its transparent parts on white, or left out.

import { drawCovering, middleOf, shrunk } from "../canvas.js";
import { isOpaque } from "../data/fit.js";
import { html, useEffect, useRef, useSignal } from "../ui.js";

// Draw without what is left out of learning, alpha below 128. Returns whether anything is.
function drawKnown(canvas, source, size) {
  drawCovering(canvas, source, size, null);
  const context = canvas.getContext("2d");
  const pixels = context.getImageData(0, 0, ...size);
  let partial = false;
  for (let at = 3; at < pixels.data.length; at += 4) {
    const known = pixels.data[at] >= 128;
    partial ||= !known;
    pixels.data[at] = known ? 255 : 0;
  }
  context.putImageData(pixels, 0, 0);
  return partial;
}

// size: [width, height]. parts: transparent parts are left out of learning. tell(whether any are): called when it is
// drawn. ground: what lies under them else.
export function AsSeen({ source, size, label, parts = false, tell, ground }) {
  const ref = useRef();
  useEffect(() => {
    if (!source) return;
    if (!parts) drawCovering(ref.current, source, size, ground);
    tell?.(parts && drawKnown(ref.current, source, size));
  }, [source, ...size, parts]);
  return html`<canvas ref=${ref} class="as-seen ${parts ? "checker" : ""}" role="img" aria-label=${label} width=${size[0]} height=${size[1]}></canvas>`;
}

const FRAMED_SIDE = 640; // pixels

// The whole picture, of this width and height. cut: what is not in its middle square is dimmed.
export function CropFrame({ source, width, height, alt, cut = true }) {
  const ref = useRef();
  const opaque = useSignal(true);
  const [wide, high] = shrunk([width, height], FRAMED_SIDE);
  useEffect(() => {
    if (!source) return;
    const canvas = ref.current;
    canvas.width = wide; // which clears it
    canvas.height = high;
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
    opaque.value = isOpaque(canvas);
    if (!cut) return;
    context.fillStyle = "rgba(20, 22, 24, .62)";
    const outside = new Path2D();
    outside.rect(0, 0, canvas.width, canvas.height);
    outside.rect(...middleOf([canvas.width, canvas.height], [1, 1]));
    context.fill(outside, "evenodd");
  }, [source, cut]);
  return html`<canvas ref=${ref} class="crop-frame ${opaque.value ? "" : "checker"}" role="img" aria-label=${alt} width=${wide} height=${high}></canvas>`;
}
