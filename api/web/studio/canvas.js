// Pictures on canvases.

// The size of an ImageBitmap, a canvas or an <img>, in pixels.
export const sizeOf = (source) => [source.naturalWidth ?? source.width, source.naturalHeight ?? source.height];

// Return a size in the same proportions whose longer side is so many pixels.
export function within([width, height], longer) {
  const scale = longer / Math.max(width, height);
  return [width, height].map((side) => Math.max(1, Math.round(side * scale)));
}

// Return a size in the same proportions whose sides are at most `most` pixels; the size itself if it is small enough.
export const shrunk = (size, most) => within(size, Math.min(most, Math.max(...size)));

// Return the largest middle part of a picture in the proportions of another size, as [left, top, width, height].
export function middleOf([width, height], [wide, high]) {
  const scale = Math.min(width / wide, height / high);
  return [(width - wide * scale) / 2, (height - high * scale) / 2, wide * scale, high * scale];
}

// Draw the middle part of a picture, at a size, as the service reads it. ground: what lies under transparent parts, null
// to keep them.
export function drawCovering(canvas, source, [width, height], ground = "#fff") {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  if (ground) {
    context.fillStyle = ground;
    context.fillRect(0, 0, width, height);
  }
  context.drawImage(source, ...middleOf(sizeOf(source), [width, height]), 0, 0, width, height);
}

export const pngOf = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));

// A PNG as a file, named as the picture that it was made from.
export const pngFile = (content, name) => new File([content], name.replace(/(\.[^.]*)?$/, ".png"), { type: "image/png" });
