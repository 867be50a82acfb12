// Paint over a picture: with pointer, pen or finger, or with the arrow keys and the space bar.

import { html, useEffect, useRef, useSignal } from "../ui.js";
import { percent } from "../format.js";
import { Icon } from "./icon.js";
import { evenWidth } from "./picture.js";

const [WIDEST, TALLEST] = [520, 640]; // pixels on the screen
const MIN_SHOWN = 24; // pixels of the screen that it is wide, at least

// mask: a Mask. ground: a canvas of its size, which is painted over. label: what is painted, such as "what should go".
// changed(): called after each stroke.
export function Brush({ mask, ground, label, changed }) {
  const { width, height } = mask;
  const side = Math.min(width, height);
  const ref = useRef();
  const thickness = useSignal(Math.max(4, Math.round(side / 7)));
  const erasing = useSignal(false);
  const cursor = useSignal({ x: width / 2, y: height / 2 });
  const share = useSignal(0);
  const stroke = useRef(null); // the last point while a stroke goes on

  useEffect(() => {
    share.value = mask.share();
    draw();
  }, [mask, ground]);

  function ended() {
    share.value = mask.share();
    draw();
    changed();
  }

  function draw() {
    const context = ref.current.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.drawImage(ground, 0, 0);
    context.drawImage(veiled(mask, "rgb(232 72 120 / .82)"), 0, 0);
  }

  const pointOf = (event) => {
    const box = ref.current.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
  };
  const paint = (from, to) => {
    mask.stroke(from, to, thickness.value, erasing.value);
    cursor.value = to;
    draw();
  };
  const down = (event) => {
    event.preventDefault();
    ref.current.focus({ preventScroll: true }); // or the pointer would be elsewhere on the picture
    ref.current.setPointerCapture(event.pointerId);
    mask.keep();
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
    ended();
  };
  const keys = (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (by) {
      event.preventDefault();
      const step = thickness.value / 2;
      const next = { x: clamp(cursor.value.x + by[0] * step, width), y: clamp(cursor.value.y + by[1] * step, height) };
      if (event.shiftKey) {
        mask.keep();
        paint(cursor.value, next);
        ended();
      }
      cursor.value = next;
    } else if (event.key === " ") {
      event.preventDefault();
      mask.keep();
      paint(cursor.value, cursor.value);
      ended();
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      undo();
    }
  };
  const undo = () => {
    mask.undo();
    ended();
  };
  const clear = () => {
    mask.clear();
    ended();
  };
  const ring = { left: `${(100 * cursor.value.x) / width}%`, top: `${(100 * cursor.value.y) / height}%`, width: `${(100 * thickness.value) / width}%` };
  return html`
    <div class="brush">
      <div class="brush-area checker" style=${{ width: evenWidth(`min(100%, ${WIDEST}px, ${Math.max(MIN_SHOWN, Math.round((TALLEST * width) / height))}px)`, width) }}>
        <canvas ref=${ref} width=${width} height=${height} tabindex="0" role="application" aria-label=${`Paint over ${label}. Arrows move the brush, space paints, shift with an arrow paints a line.`}
          onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onKeyDown=${keys}></canvas>
        <span class="brush-ring" style=${ring}></span>
      </div>
      <div class="brush-tools">
        <label>Brush <input type="range" min="2" max=${Math.round(side / 2)} value=${thickness.value} onInput=${(event) => { thickness.value = Number(event.target.value); }} /></label>
        <button type="button" class="small" aria-pressed=${erasing.value} onClick=${() => { erasing.value = !erasing.value; }}>Erase</button>
        <button type="button" class="small" onClick=${undo}><${Icon} name="undo" />Undo</button>
        <button type="button" class="small" onClick=${clear}>Clear</button>
        <output class="hint">${percent(share.value)} painted over</output>
      </div>
    </div>`;
}

// What is painted, in one colour, as a canvas.
export function veiled({ canvas, width, height }, colour) {
  const veil = new OffscreenCanvas(width, height);
  const context = veil.getContext("2d");
  context.drawImage(canvas, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, width, height);
  return veil;
}

const clamp = (number, most) => Math.min(Math.max(number, 0), most);
