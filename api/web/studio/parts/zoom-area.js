// A picture that can be enlarged to its pixels and moved: by wheel, by two fingers, by dragging and by keys.

import { html, signal, useEffect, useMemo, useRef } from "../ui.js";
import { Icon } from "./icon.js";

const MOST = 32;
const STEP = 1.25;
const PAN = 60; // pixels that an arrow key moves

// How large pictures are shown, and where. Areas that share one show theirs alike.
class Zoom {
  scale = signal(null); // screen pixels for each of the picture's; null fits it in
  offset = signal({ x: 0, y: 0 }); // of its middle from the area's, in screen pixels
  fitted = signal(1); // the scale that fits it in

  get now() {
    return this.scale.value ?? this.fitted.value;
  }

  by(factor, at = { x: 0, y: 0 }) {
    const before = this.scale.peek() ?? this.fitted.peek();
    const least = Math.min(this.fitted.peek() / 2, 1 / devicePixelRatio); // one pixel for each is never too small
    const next = Math.min(Math.max(before * factor, least), MOST);
    const { x, y } = this.offset.peek();
    this.offset.value = { x: at.x - (at.x - x) * (next / before), y: at.y - (at.y - y) * (next / before) };
    this.scale.value = next;
  }

  move(x, y) {
    this.offset.value = { x: this.offset.peek().x + x, y: this.offset.peek().y + y };
  }

  to(scale) {
    this.scale.value = scale;
    this.offset.value = { x: 0, y: 0 };
  }

  fit() {
    this.to(null);
  }

  exact() {
    this.to(1 / devicePixelRatio);
  }
}

export const useZoom = () => useMemo(() => new Zoom(), []);

// pictures: [{src, width, height, transparent, clip}] that lie on each other with the same middle; clip: of the area.
// frame: [width, height] in the pictures' pixels that is fitted in, by default the first of them. tiles: how often each is
// laid in each direction.
export function ZoomArea({ pictures, frame = [pictures[0].width, pictures[0].height], tiles = 1, label, zoom }) {
  const ref = useRef();
  const [width, height] = frame;
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      if (!ref.current) return;
      const { clientWidth, clientHeight } = ref.current;
      const fit = Math.min(clientWidth / (width * tiles), clientHeight / (height * tiles));
      zoom.fitted.value = fit >= 1 ? Math.max(Math.floor(fit), 1) : fit; // whole pixels are sharp
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [width, height, tiles]);
  useGestures(ref, zoom);
  const keys = (event) => {
    const actions = {
      "+": () => zoom.by(STEP), "=": () => zoom.by(STEP), "-": () => zoom.by(1 / STEP), 0: () => zoom.fit(), 1: () => zoom.exact(),
      ArrowLeft: () => zoom.move(PAN, 0), ArrowRight: () => zoom.move(-PAN, 0), ArrowUp: () => zoom.move(0, PAN), ArrowDown: () => zoom.move(0, -PAN),
    };
    if (!actions[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    actions[event.key]();
  };
  return html`
    <div ref=${ref} class="zoom-area" tabindex="0" role="application" aria-label=${`${label}. Plus and minus enlarge it, arrows move it, 1 shows its pixels as they are, 0 fits it in.`} onKeyDown=${keys} onDblClick=${() => zoom.fit()}>
      ${pictures.map((one) => html`<div key=${one.src} class="zoom-layer" style=${{ clipPath: one.clip }}><div class="zoomed ${zoom.now * devicePixelRatio >= 2 ? "pixelated" : ""}" style=${placed(one, tiles, zoom)}></div></div>`)}
    </div>`;
}

const CHECKERED = ", var(--checker) 0 0 / 20px 20px";

function placed({ src, width, height, transparent }, tiles, zoom) {
  const { now, offset: { value: { x, y } } } = zoom;
  return {
    width: `${width * tiles * now}px`,
    height: `${height * tiles * now}px`,
    transform: `translate(-50%, -50%) translate(${x}px, ${y}px)`,
    background: `url("${src}") 0 0 / ${width * now}px ${height * now}px${transparent ? CHECKERED : ""}`,
  };
}

export const ZoomTools = ({ zoom }) => html`
  <div class="zoom-tools" role="group" aria-label="Size on the screen">
    <button type="button" class="bare" aria-label="Smaller" onClick=${() => zoom.by(1 / STEP)}><${Icon} name="minus" /></button>
    <output>${Math.round(zoom.now * devicePixelRatio * 100)} %</output>
    <button type="button" class="bare" aria-label="Larger" onClick=${() => zoom.by(STEP)}><${Icon} name="plus" /></button>
    <button type="button" class="bare" aria-label="Pixel for pixel, 1:1" onClick=${() => zoom.exact()}>1:1</button>
    <button type="button" class="bare" aria-label="Fit in" onClick=${() => zoom.fit()}><${Icon} name="fit" /></button>
  </div>`;

function useGestures(ref, zoom) {
  useEffect(() => {
    const area = ref.current;
    const fingers = new Map();
    const middle = (event) => {
      const { left, top, width, height } = area.getBoundingClientRect();
      return { x: event.clientX - left - width / 2, y: event.clientY - top - height / 2 };
    };
    const spread = () => {
      const [one, other] = [...fingers.values()];
      return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    };
    const wheel = (event) => {
      event.preventDefault();
      zoom.by(Math.exp(-event.deltaY / 400), middle(event));
    };
    const down = (event) => {
      area.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event);
    };
    const drag = (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const wide = fingers.size === 2 ? spread() : 0;
      fingers.set(event.pointerId, event);
      if (fingers.size === 1) zoom.move(event.clientX - before.clientX, event.clientY - before.clientY);
      else if (wide) zoom.by(spread() / wide, middle(event));
    };
    const up = (event) => fingers.delete(event.pointerId);
    const wired = { wheel, pointerdown: down, pointermove: drag, pointerup: up, pointercancel: up };
    for (const [name, listener] of Object.entries(wired)) area.addEventListener(name, listener, { passive: false });
    return () => {
      for (const [name, listener] of Object.entries(wired)) area.removeEventListener(name, listener);
    };
  }, []);
}
