// A long list or grid of cells that draws only what is on the screen, and a little around it.

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

// items: all that there is. minWidth: of a cell, in pixels, by the width of the grid; null for a list. cellHeight(width, index): in
// pixels; in a grid the same for all. draw(item, width): a cell. onEnd(): called when the end comes near, to read more.
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
  const width = Math.floor((box.width - gap * (columns - 1)) / columns); // whole, or small pictures would not be sharp
  const rows = Math.ceil(items.length / columns);
  const tops = [0]; // of each row, and last the end
  for (let row = 0; row < rows; row += 1) tops.push(tops[row] + cellHeight(width, row * columns) + gap);
  const rowAt = (y) => tops.findLastIndex((top) => top <= y);
  const first = clamp(rowAt(view.value.top - box.top) - AROUND, 0, rows);
  const last = box.width ? clamp(rowAt(view.value.top + view.value.height - box.top) + 1 + AROUND, first, rows) : 0;
  useEffect(() => {
    if (box.width && last >= rows - 2 * AROUND) onEnd?.();
  }, [last, rows, box.width]);
  const shown = items.slice(first * columns, last * columns);
  const cell = (item, index) => {
    const at = first * columns + index;
    const row = Math.floor(at / columns);
    const style = {
      top: `${tops[row]}px`,
      left: `${(at % columns) * (width + gap)}px`,
      width: `${width}px`,
      height: `${tops[row + 1] - tops[row] - gap}px`,
    };
    return html`<li key=${item.id ?? item} class="cell" style=${style} aria-setsize=${items.length} aria-posinset=${at + 1}>${draw(item, width)}</li>`;
  };
  return html`<ul ref=${ref} class="windowed" aria-label=${label} style=${{ height: `${Math.max(tops[rows] - gap, 0)}px` }}>${shown.map(cell)}</ul>`;
}

const clamp = (number, low, high) => Math.min(Math.max(number, low), high);
