// Paint over what should go: with pointer, pen or finger, or with the arrow keys and the space bar.

import { html, useEffect, useRef, useSignal } from "../ui.js";
import { painted } from "../data/draft.js";
import { percent } from "../format.js";
import { drawAsSeen } from "./crop.js";
import { Icon } from "./icon.js";
import { Mask } from "./mask.js";

// source: a loaded picture. side: of the pictures that the model learned.
export function Brush({ source, side }) {
  const ref = useRef();
  const mask = useRef(null);
  const picture = useRef(null);
  const width = useSignal(Math.max(4, Math.round(side / 7)));
  const cursor = useSignal({ x: side / 2, y: side / 2 });
  const share = useSignal(0);
  const stroke = useRef(null); // the last point while a stroke goes on

  useEffect(() => {
    mask.current = new Mask(side);
    picture.current = document.createElement("canvas");
    drawAsSeen(picture.current, source, side, null);
    mask.current.takeTransparent(picture.current);
    changed();
    return () => {
      painted.value = null;
    };
  }, [source, side]);

  function changed() {
    share.value = mask.current.share();
    painted.value = share.value > 0 && share.value < 1 ? { blob: () => mask.current.pierced(picture.current) } : null;
    draw();
  }

  function draw() {
    const context = ref.current.getContext("2d");
    context.clearRect(0, 0, side, side);
    context.drawImage(picture.current, 0, 0);
    const veil = new OffscreenCanvas(side, side).getContext("2d");
    veil.drawImage(mask.current.canvas, 0, 0);
    veil.globalCompositeOperation = "source-in";
    veil.fillStyle = "rgb(232 72 120 / .82)";
    veil.fillRect(0, 0, side, side);
    context.drawImage(veil.canvas, 0, 0);
  }

  const pointOf = (event) => {
    const box = ref.current.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * side, y: ((event.clientY - box.top) / box.height) * side };
  };
  const paint = (from, to) => {
    mask.current.stroke(from, to, width.value);
    cursor.value = to;
    draw();
  };
  const down = (event) => {
    event.preventDefault();
    ref.current.focus();
    ref.current.setPointerCapture(event.pointerId);
    mask.current.keep();
    stroke.current = pointOf(event);
    paint(stroke.current, stroke.current);
  };
  const move = (event) => {
    const now = pointOf(event);
    cursor.value = now;
    if (!stroke.current) return;
    paint(stroke.current, now);
    stroke.current = now;
  };
  const up = () => {
    if (!stroke.current) return;
    stroke.current = null;
    changed();
  };
  const keys = (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (by) {
      event.preventDefault();
      const step = width.value / 2;
      const next = { x: clamp(cursor.value.x + by[0] * step, side), y: clamp(cursor.value.y + by[1] * step, side) };
      if (event.shiftKey) {
        mask.current.keep();
        mask.current.stroke(cursor.value, next, width.value);
        changed();
      }
      cursor.value = next;
    } else if (event.key === " ") {
      event.preventDefault();
      mask.current.keep();
      paint(cursor.value, cursor.value);
      changed();
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      undo();
    }
  };
  const undo = () => {
    mask.current.undo();
    changed();
  };
  const clear = () => {
    mask.current.clear();
    changed();
  };
  const ring = { left: `${(100 * cursor.value.x) / side}%`, top: `${(100 * cursor.value.y) / side}%`, width: `${(100 * width.value) / side}%` };
  return html`
    <div class="brush">
      <div class="brush-area checker">
        <canvas ref=${ref} width=${side} height=${side} tabindex="0" role="application" aria-label="Paint over what should go. Arrows move the brush, space paints, shift with an arrow paints a line."
          onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onKeyDown=${keys}></canvas>
        <span class="brush-ring" style=${ring}></span>
      </div>
      <div class="brush-tools">
        <label>Brush <input type="range" min="2" max=${Math.round(side / 2)} value=${width.value} onInput=${(event) => { width.value = Number(event.target.value); }} /></label>
        <button type="button" class="small" onClick=${undo}><${Icon} name="undo" />Undo</button>
        <button type="button" class="small" onClick=${clear}>Clear</button>
        <output class="hint">${percent(share.value)} painted over</output>
      </div>
    </div>`;
}

const clamp = (number, side) => Math.min(Math.max(number, 0), side);
