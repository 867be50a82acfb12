// What is painted over on a picture, with a round brush. It has the picture's own pixels.

import { pngOf } from "../canvas.js";

const UNDOABLE = 30;

export class Mask {
  #empty = true; // null: not known since the last change

  constructor(width, height) {
    this.canvas = document.createElement("canvas");
    this.canvas.width = width;
    this.canvas.height = height;
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.context.lineCap = this.context.lineJoin = "round";
    this.before = [];
  }

  get width() {
    return this.canvas.width;
  }

  get height() {
    return this.canvas.height;
  }

  // What is painted, as the data: address of a PNG that is opaque there.
  get address() {
    return this.canvas.toDataURL();
  }

  get pixels() {
    return this.context.getImageData(0, 0, this.width, this.height);
  }

  // Whether nothing is painted, not even faintly.
  get isEmpty() {
    this.#empty ??= !this.#isPainted();
    return this.#empty;
  }

  #isPainted() {
    const { data } = this.pixels;
    for (let at = 3; at < data.length; at += 4) if (data[at]) return true;
    return false;
  }

  // Keep what is there, so that the next stroke can be undone.
  keep() {
    this.before.push(this.pixels);
    if (this.before.length > UNDOABLE) this.before.shift();
  }

  stroke(from, to, width, erase = false) {
    const { context } = this;
    this.#empty = null;
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y); // a line without length draws no dot
    context.stroke();
  }

  undo() {
    this.#empty = null;
    const last = this.before.pop();
    if (last) this.context.putImageData(last, 0, 0);
  }

  clear() {
    this.keep();
    this.#empty = true;
    this.context.clearRect(0, 0, this.width, this.height);
  }

  // The share of the picture that is painted over.
  share() {
    const { data } = this.pixels;
    let found = 0;
    for (let at = 3; at < data.length; at += 4) found += data[at] > 127;
    return found / (this.width * this.height);
  }

  // Begin with what was painted before, as a picture that is opaque there.
  takePainted(picture) {
    this.#empty = null;
    this.context.drawImage(picture, 0, 0, this.width, this.height);
  }

  // Begin with what is transparent in a picture (a canvas of the same size).
  takeTransparent(picture) {
    this.#take(picture, (red, green, blue, alpha) => (alpha < 128 ? 255 : 0));
  }

  // Begin with what is white in a picture (a canvas of the same size).
  takeWhite(picture) {
    this.#take(picture, (red, green, blue, alpha) => ((red + green + blue) / 3) * (alpha / 255));
  }

  #take(picture, paintOf) {
    const seen = picture.getContext("2d").getImageData(0, 0, this.width, this.height).data;
    const paint = this.context.createImageData(this.width, this.height);
    for (let at = 0; at < seen.length; at += 4) paint.data[at + 3] = paintOf(seen[at], seen[at + 1], seen[at + 2], seen[at + 3]);
    this.#empty = null;
    this.context.putImageData(paint, 0, 0);
  }

  // The picture (a canvas of the same size) as PNG, transparent where it is painted over.
  pierced(picture) {
    const hole = this.pixels.data;
    return this.#file(picture, (data, at) => {
      data[at + 3] = hole[at + 3] > 127 ? 0 : 255;
    });
  }

  // A PNG, white where it is painted over and black elsewhere.
  blackAndWhite() {
    return this.#file(this.canvas, (data, at) => {
      data[at] = data[at + 1] = data[at + 2] = data[at + 3];
      data[at + 3] = 255;
    });
  }

  async #file(picture, change) {
    const result = document.createElement("canvas");
    result.width = this.width;
    result.height = this.height;
    const context = result.getContext("2d");
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, this.width, this.height);
    for (let at = 0; at < pixels.data.length; at += 4) change(pixels.data, at);
    context.putImageData(pixels, 0, 0);
    return await pngOf(result);
  }
}
