// A picture as the model will see it: its middle square, at the model's size; its transparent parts on white, or left out.

import { html, useEffect, useRef } from "../ui.js";

// Return the middle square of a picture as [left, top, side], which is what the service reads.
export function middleSquare(width, height) {
  const side = Math.min(width, height);
  return [(width - side) / 2, (height - side) / 2, side];
}

// source: an ImageBitmap or an <img>. ground: what lies under transparent parts, null to keep them.
export function drawAsSeen(canvas, source, size, ground = "#fff") {
  const [left, top, side] = middleSquare(source.naturalWidth ?? source.width, source.naturalHeight ?? source.height);
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  if (ground) {
    context.fillStyle = ground;
    context.fillRect(0, 0, size, size);
  }
  context.drawImage(source, left, top, side, side, 0, 0, size, size);
}

// Draw without what is left out of learning, alpha below 128. Returns whether anything is.
function drawKnown(canvas, source, size) {
  drawAsSeen(canvas, source, size, null);
  const context = canvas.getContext("2d");
  const pixels = context.getImageData(0, 0, size, size);
  let partial = false;
  for (let at = 3; at < pixels.data.length; at += 4) {
    const known = pixels.data[at] >= 128;
    partial ||= !known;
    pixels.data[at] = known ? 255 : 0;
  }
  context.putImageData(pixels, 0, 0);
  return partial;
}

// parts: transparent parts are left out of learning. tell(whether any are): called when it is drawn. ground: what lies
// under them else.
export function AsSeen({ source, size, label, parts = false, tell, ground }) {
  const ref = useRef();
  useEffect(() => {
    if (!source) return;
    if (!parts) drawAsSeen(ref.current, source, size, ground);
    tell?.(parts && drawKnown(ref.current, source, size));
  }, [source, size, parts]);
  return html`<canvas ref=${ref} class="as-seen ${parts ? "checker" : ""}" role="img" aria-label=${label} width=${size} height=${size}></canvas>`;
}

// The whole picture with what is cut off dimmed.
export function CropFrame({ source, alt }) {
  const ref = useRef();
  useEffect(() => {
    if (!source) return;
    const width = source.naturalWidth ?? source.width;
    const height = source.naturalHeight ?? source.height;
    const scale = Math.min(1, 640 / Math.max(width, height));
    const canvas = ref.current;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
    const [left, top, side] = middleSquare(canvas.width, canvas.height);
    context.fillStyle = "rgba(20, 22, 24, .62)";
    const cut = new Path2D();
    cut.rect(0, 0, canvas.width, canvas.height);
    cut.rect(left, top, side, side);
    context.fill(cut, "evenodd");
  }, [source]);
  return html`<canvas ref=${ref} class="crop-frame checker" role="img" aria-label=${alt}></canvas>`;
}
