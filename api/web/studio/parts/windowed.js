// A long list or grid of cells of equal height that draws only what is on the screen, and a little around it.

import { html, signal, useEffect, useRef, useState } from "../ui.js";

const AROUND = 2; // rows beyond each edge of the screen

const view = signal({ top: 0, height: innerHeight });
let pending = 0;

function look() {
  pending ||= requestAnimationFrame(() => {
    pending = 0;
    view.value = { top: scrollY, height: innerHeight };
  });
}
addEventListener("scroll", look, { passive: true });
addEventListener("resize", look);

// items: all that there is. minWidth: of a cell, in pixels, by the width of the grid; null for a list. cellHeight(width): in pixels.
// draw(item, index): a cell. onEnd(): called when the end comes near, to read more.
export function Windowed({ items, minWidth = null, cellHeight, gap = 12, draw, onEnd, label }) {
  const ref = useRef();
  const [box, setBox] = useState({ width: 0, top: 0 });
  useEffect(() => {
    const measure = () => {
      if (!ref.current) return;
      const { width, top } = ref.current.getBoundingClientRect();
      setBox((before) => (before.width === width && before.top === top + scrollY ? before : { width, top: top + scrollY }));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(ref.current);
    observer.observe(document.body);
    return () => observer.disconnect();
  }, []);
  const columns = minWidth ? Math.max(1, Math.floor((box.width + gap) / (minWidth(box.width) + gap))) : 1;
  const width = (box.width - gap * (columns - 1)) / columns;
  const step = cellHeight(width) + gap;
  const rows = Math.ceil(items.length / columns);
  const first = clamp(Math.floor((view.value.top - box.top) / step) - AROUND, 0, rows);
  const last = box.width ? clamp(Math.ceil((view.value.top + view.value.height - box.top) / step) + AROUND, first, rows) : 0;
  useEffect(() => {
    if (box.width && last >= rows - 2 * AROUND) onEnd?.();
  }, [last, rows, box.width]);
  const shown = items.slice(first * columns, last * columns);
  const cell = (item, index) => {
    const at = first * columns + index;
    const style = {
      top: `${Math.floor(at / columns) * step}px`,
      left: `${(at % columns) * (width + gap)}px`,
      width: `${width}px`,
      height: `${step - gap}px`,
    };
    return html`<li key=${item.id ?? item} class="cell" style=${style} aria-setsize=${items.length} aria-posinset=${at + 1}>${draw(item, at)}</li>`;
  };
  return html`<ul ref=${ref} class="windowed" aria-label=${label} style=${{ height: `${Math.max(rows * step - gap, 0)}px` }}>${shown.map(cell)}</ul>`;
}

const clamp = (number, low, high) => Math.min(Math.max(number, low), high);
