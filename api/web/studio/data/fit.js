// What a photograph must be to be made tileable: opaque, and of a size at which no pixel of it changes its scale.

import { drawCovering, pngFile, pngOf, sizeOf } from "../canvas.js";

export const MAX_PIXELS = 1024 ** 2; // of a photograph; as MAX_WHOLE_SIZE in core/schemas/learning.py, squared

// Whether a size works for a model of pictures of this side.
export const fitsSide = ([width, height], side) => Math.min(width, height) === side && width * height <= MAX_PIXELS;

const ROWS = 256; // of a large picture, looked at together

// Whether no pixel of an ImageBitmap, a canvas or an <img> is transparent, not even partly; as is_opaque in
// core/pictures/masks.py.
export function isOpaque(source) {
  const [width, height] = sizeOf(source);
  for (let top = 0; top < height; top += ROWS) {
    const part = new OffscreenCanvas(width, Math.min(ROWS, height - top)).getContext("2d", { willReadFrequently: true });
    part.drawImage(source, 0, -top);
    const { data } = part.getImageData(0, 0, part.canvas.width, part.canvas.height);
    for (let at = 3; at < data.length; at += 4) if (data[at] < 255) return false;
  }
  return true;
}

// How a picture can get a size that works, in its proportions: [{way, size, words}].
export function waysToFit([width, height], side) {
  const [short, long] = [Math.min(width, height), Math.max(width, height)];
  const [whole, most] = [Math.round((long * side) / short), Math.floor(MAX_PIXELS / side)];
  const longer = Math.max(side, Math.min(whole, most));
  const size = width > height ? [longer, side] : [side, longer];
  const crop = { way: "crop", size, words: "Cropped, it is the middle of the photograph, its pixels as they are." };
  const scale = { way: "scale", size, words: `Scaled, it is ${whole > most ? "the middle of the photograph" : "the whole photograph"}, with the detail that a model of ${side} pixels learns.` };
  return [...(short >= side ? [crop] : []), ...(short === side ? [] : [scale])];
}

// A picture cropped or scaled: {way, size, bitmap, file}, a PNG.
export async function fitted(source, name, { way, size }) {
  if (!source) throw new Error(`This browser cannot show ${name}. Save it as PNG or JPEG first.`);
  const canvas = document.createElement("canvas");
  if (way === "crop") cropMiddle(canvas, source, size);
  else drawCovering(canvas, source, size, null);
  return { way, size, bitmap: canvas, file: pngFile(await pngOf(canvas), name) };
}

// Pixel for pixel.
function cropMiddle(canvas, source, [width, height]) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").drawImage(source, Math.floor((width - source.width) / 2), Math.floor((height - source.height) / 2));
}
