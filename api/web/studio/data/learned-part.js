// The part of a picture that is learned: without what was painted over, which is sent as transparent.

import { pngFile, pngOf, shrunk, sizeOf } from "../canvas.js";

// A picture without what is painted over in it (a Mask in its proportions), as a canvas of at most `most` pixels a side.
export function withoutPainted(source, paint, most = Infinity) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = shrunk(sizeOf(source), most);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "destination-out";
  context.drawImage(paint.canvas, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// The same in the picture's own pixels, as a PNG.
export async function learnedPart(source, paint, name) {
  return pngFile(await pngOf(withoutPainted(source, paint)), name);
}
