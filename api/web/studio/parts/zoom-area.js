// A picture that can be enlarged to its pixels and moved: by wheel, by two fingers, by dragging and by keys.

import { html, useEffect, useRef, useSignal } from "../ui.js";
import { Icon } from "./icon.js";

const MOST = 32;
const STEP = 1.25;
const PAN = 60; // pixels that an arrow key moves

// tiles: how often the picture is laid in each direction. scale, offset: signals that several areas may share.
export function ZoomArea({ src, width, height, tiles = 1, label, ...shared }) {
  const ref = useRef();
  const own = { scale: useSignal(null), offset: useSignal({ x: 0, y: 0 }) };
  const scale = shared.scale ?? own.scale; // screen pixels for each of the picture's; null fits it in
  const offset = shared.offset ?? own.offset;
  const fitted = useSignal(1);
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      if (!ref.current) return;
      const { clientWidth, clientHeight } = ref.current;
      const fit = Math.min(clientWidth / (width * tiles), clientHeight / (height * tiles));
      fitted.value = fit >= 1 ? Math.max(Math.floor(fit), 1) : fit; // whole pixels are sharp
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [width, height, tiles]);
  const now = scale.value ?? fitted.value;
  const zoom = (factor, at = { x: 0, y: 0 }) => {
    const next = Math.min(Math.max((scale.peek() ?? fitted.peek()) * factor, fitted.peek() / 2), MOST);
    const ratio = next / (scale.peek() ?? fitted.peek());
    const { x, y } = offset.peek();
    offset.value = { x: at.x - (at.x - x) * ratio, y: at.y - (at.y - y) * ratio };
    scale.value = next;
  };
  const move = (x, y) => {
    offset.value = { x: offset.peek().x + x, y: offset.peek().y + y };
  };
  const fit = () => {
    scale.value = null;
    offset.value = { x: 0, y: 0 };
  };
  const exact = () => {
    scale.value = 1 / devicePixelRatio;
    offset.value = { x: 0, y: 0 };
  };
  useGestures(ref, zoom, move);
  const keys = (event) => {
    const actions = {
      "+": () => zoom(STEP), "=": () => zoom(STEP), "-": () => zoom(1 / STEP), 0: fit, 1: exact,
      ArrowLeft: () => move(PAN, 0), ArrowRight: () => move(-PAN, 0), ArrowUp: () => move(0, PAN), ArrowDown: () => move(0, -PAN),
    };
    if (!actions[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    actions[event.key]();
  };
  const style = {
    width: `${width * tiles * now}px`,
    height: `${height * tiles * now}px`,
    transform: `translate(-50%, -50%) translate(${offset.value.x}px, ${offset.value.y}px)`,
    backgroundImage: `url("${src}")`,
    backgroundSize: `${width * now}px ${height * now}px`,
  };
  return html`
    <div ref=${ref} class="zoom-area checker" tabindex="0" role="application" aria-label=${`${label}. Plus and minus enlarge it, arrows move it, 1 shows its pixels as they are, 0 fits it in.`} onKeyDown=${keys} onDblClick=${fit}>
      <div class="zoomed ${now * devicePixelRatio >= 2 ? "pixelated" : ""}" style=${style}></div>
    </div>
    <div class="zoom-tools" role="group" aria-label="Size on the screen">
      <button type="button" class="bare" aria-label="Smaller" onClick=${() => zoom(1 / STEP)}><${Icon} name="minus" /></button>
      <output>${Math.round(now * devicePixelRatio * 100)} %</output>
      <button type="button" class="bare" aria-label="Larger" onClick=${() => zoom(STEP)}><${Icon} name="plus" /></button>
      <button type="button" class="bare" aria-label="Pixel for pixel, 1:1" onClick=${exact}>1:1</button>
      <button type="button" class="bare" aria-label="Fit in" onClick=${fit}><${Icon} name="fit" /></button>
    </div>`;
}

function useGestures(ref, zoom, move) {
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
      zoom(Math.exp(-event.deltaY / 400), middle(event));
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
      if (fingers.size === 1) move(event.clientX - before.clientX, event.clientY - before.clientY);
      else if (wide) zoom(spread() / wide, middle(event));
    };
    const up = (event) => fingers.delete(event.pointerId);
    const wired = { wheel, pointerdown: down, pointermove: drag, pointerup: up, pointercancel: up };
    for (const [name, listener] of Object.entries(wired)) area.addEventListener(name, listener, { passive: false });
    return () => {
      for (const [name, listener] of Object.entries(wired)) area.removeEventListener(name, listener);
    };
  }, []);
}
