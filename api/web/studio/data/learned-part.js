// The part of a picture that is learned: without what was painted over, which is sent as transparent.

import { pngFile, sizeOf, within } from "../canvas.js";

// A picture without what is painted over in it (a Mask in its proportions), as a canvas of at most `most` pixels a side.
export function withoutPainted(source, paint, most = Infinity) {
  const size = sizeOf(source);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = within(size, Math.min(most, Math.max(...size)));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "destination-out";
  context.drawImage(paint.canvas, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// The same in the picture's own pixels, as a PNG.
export async function learnedPart(source, paint, name) {
  const canvas = withoutPainted(source, paint);
  return pngFile(await new Promise((resolve) => canvas.toBlob(resolve, "image/png")), name);
}
