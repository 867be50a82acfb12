// The hole of a picture that is to be filled in, painted with a round brush. It has the picture's own pixels.

const UNDOABLE = 30;

export class Mask {
  constructor(side) {
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.canvas.height = side;
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.context.lineCap = this.context.lineJoin = "round";
    this.before = [];
  }

  get side() {
    return this.canvas.width;
  }

  // Keep what is there, so that the next stroke can be undone.
  keep() {
    this.before.push(this.context.getImageData(0, 0, this.side, this.side));
    if (this.before.length > UNDOABLE) this.before.shift();
  }

  stroke(from, to, width) {
    const { context } = this;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y); // a line without length draws no dot
    context.stroke();
  }

  undo() {
    const last = this.before.pop();
    if (last) this.context.putImageData(last, 0, 0);
  }

  clear() {
    this.keep();
    this.context.clearRect(0, 0, this.side, this.side);
  }

  // The share of the picture that is painted over.
  share() {
    const { data } = this.context.getImageData(0, 0, this.side, this.side);
    let found = 0;
    for (let at = 3; at < data.length; at += 4) found += data[at] > 127;
    return found / (this.side * this.side);
  }

  // Begin with what is transparent in a picture (a canvas of the same size).
  takeTransparent(picture) {
    const seen = picture.getContext("2d").getImageData(0, 0, this.side, this.side);
    const hole = this.context.createImageData(this.side, this.side);
    for (let at = 3; at < seen.data.length; at += 4) hole.data[at] = seen.data[at] < 128 ? 255 : 0;
    this.context.putImageData(hole, 0, 0);
  }

  // The picture as PNG, transparent where it is painted over.
  async pierced(picture) {
    const result = document.createElement("canvas");
    result.width = result.height = this.side;
    const context = result.getContext("2d");
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, this.side, this.side);
    const hole = this.context.getImageData(0, 0, this.side, this.side).data;
    for (let at = 3; at < hole.length; at += 4) pixels.data[at] = hole[at] > 127 ? 0 : 255;
    context.putImageData(pixels, 0, 0);
    return await new Promise((resolve) => result.toBlob(resolve, "image/png"));
  }
}
